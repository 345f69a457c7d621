/** A run as the parts of the AI SDK's stream: blocks of one kind, each opened, filled and closed. A slow reader slows its run. */
import type { LanguageModelV4StreamPart, SharedV4Warning } from '@ai-sdk/provider';
import type { GenerationChunk, Generation } from '../engine/run.js';
import { abortErrorOf, finishReasonOf, metadataOf, responseOf, usageOf } from './answer.js';

interface StreamTask {
  run: Generation;
  modelId: string;
  warnings: SharedV4Warning[];
  signal: AbortSignal | undefined;
  /** The caller wants our own chunks too. */
  includeRaw: boolean;
}

/** Resolves when the first chunk is there: what fails before is no stream yet. Rejects as the run does. */
export async function streamOf(task: StreamTask): Promise<ReadableStream<LanguageModelV4StreamPart>> {
  const chunks = task.run[Symbol.asyncIterator]();
  const first = await chunks.next();
  if (task.signal?.aborted) throw abortErrorOf(task.signal);
  const parts = partsOf(task, first, chunks);
  return new ReadableStream<LanguageModelV4StreamPart>(
    {
      pull: async (controller) => {
        const { done, value } = await parts.next();
        if (done) controller.close();
        else controller.enqueue(value);
      },
      // Who leaves ends the run, even while a chunk is awaited.
      cancel: () => void chunks.return?.(),
    },
    { highWaterMark: 0 },
  );
}

async function* partsOf(
  { run, modelId, warnings, signal, includeRaw }: StreamTask,
  first: IteratorResult<GenerationChunk>,
  chunks: AsyncIterator<GenerationChunk>,
): AsyncGenerator<LanguageModelV4StreamPart, undefined> {
  yield { type: 'stream-start', warnings };
  yield { type: 'response-metadata', ...responseOf(modelId) };
  const blocks = new Blocks();
  try {
    for (let next = first; !next.done; next = await chunks.next()) {
      if (includeRaw) yield { type: 'raw', rawValue: next.value };
      yield* blocks.add(next.value);
    }
    const result = await run;
    if (signal?.aborted) throw abortErrorOf(signal);
    yield* blocks.end();
    yield {
      type: 'finish',
      usage: usageOf(result),
      finishReason: finishReasonOf(result),
      providerMetadata: metadataOf(result),
    };
  } catch (error) {
    if (signal?.aborted) throw error;
    yield { type: 'error', error };
  }
  return undefined;
}

/** The block that is open, and what closes it. */
class Blocks {
  #count = 0;
  #open: { kind: string; id: string; toolName: string; input: string } | undefined;

  *add(chunk: GenerationChunk): Generator<LanguageModelV4StreamPart> {
    if (chunk.type === 'tool-call') {
      yield* this.#addCall(chunk);
      return;
    }
    if (chunk.text === '') return;
    const { type } = chunk;
    if (this.#open?.kind !== type) {
      yield* this.end();
      const id = String(this.#count++);
      this.#open = { kind: type, id, toolName: '', input: '' };
      yield { type: `${type}-start`, id };
    }
    yield { type: `${type}-delta`, id: (this.#open as { id: string }).id, delta: chunk.text };
  }

  *#addCall(chunk: Extract<GenerationChunk, { type: 'tool-call' }>): Generator<LanguageModelV4StreamPart> {
    if (chunk.id !== undefined) {
      yield* this.end();
      const { id, name: toolName = '' } = chunk;
      this.#open = { kind: 'call', id, toolName, input: '' };
      yield { type: 'tool-input-start', id, toolName };
    }
    const { arguments: delta } = chunk;
    if (delta === '' || this.#open === undefined) return;
    this.#open.input += delta;
    yield { type: 'tool-input-delta', id: this.#open.id, delta };
  }

  *end(): Generator<LanguageModelV4StreamPart> {
    if (this.#open === undefined) return;
    const { kind, id, toolName, input } = this.#open;
    this.#open = undefined;
    if (kind !== 'call') {
      yield { type: kind === 'text' ? 'text-end' : 'reasoning-end', id };
      return;
    }
    yield { type: 'tool-input-end', id };
    yield { type: 'tool-call', toolCallId: id, toolName, input };
  }
}

/** The events of a streamed message: blocks one after the other, each opened, filled and closed. */
import type { GenerationChunk, GenerationResult } from '../../engine/run.js';
import type { Generations } from '../generations.js';
import { namedEvent } from '../protocol.js';

export interface MessageTask {
  generations: Generations;
  head: object;
  /** What the last event tells. */
  endOf(result: GenerationResult): { delta: object; usage: object };
  /** Thoughts are told. */
  showsThoughts: boolean;
}

const event = (type: string, fields: object): string => namedEvent(type, { type, ...fields });

/** Figures are known at the end: there they are all told. */
const usageAtStart = {
  input_tokens: 0,
  cache_read_input_tokens: 0,
  cache_creation_input_tokens: 0,
  output_tokens: 0,
};

export async function* messageEvents(task: MessageTask): AsyncGenerator<string, undefined> {
  const blocks = new Blocks();
  let start = event('message_start', {
    message: { ...task.head, content: [], stop_reason: null, stop_sequence: null, usage: usageAtStart },
  });
  for await (const { chunk, result } of task.generations.parts()) {
    if (chunk !== undefined) {
      const isHidden = chunk.type === 'reasoning' && !task.showsThoughts;
      const told = start + (isHidden ? '' : blocks.add(chunk));
      start = '';
      if (told !== '') yield told;
      continue;
    }
    const end = event('message_delta', task.endOf(result));
    yield start + blocks.end() + end + event('message_stop', {});
  }
  return undefined;
}

class Blocks {
  #count = 0;
  /** Kind of the open block, and of a call its number. */
  #open: string | undefined;

  /** Events of a chunk; '' where it says nothing. */
  add(chunk: GenerationChunk): string {
    if (chunk.type === 'tool-call') {
      const opened = this.#enter(`call ${chunk.index}`, {
        type: 'tool_use',
        id: chunk.id,
        name: chunk.name,
        input: {},
      });
      if (chunk.arguments === '') return opened;
      return opened + this.#delta({ type: 'input_json_delta', partial_json: chunk.arguments });
    }
    if (chunk.text === '') return '';
    if (chunk.type === 'reasoning') {
      const opened = this.#enter('thinking', { type: 'thinking', thinking: '', signature: '' });
      return opened + this.#delta({ type: 'thinking_delta', thinking: chunk.text });
    }
    return (
      this.#enter('text', { type: 'text', text: '' }) + this.#delta({ type: 'text_delta', text: chunk.text })
    );
  }

  /** Closes the last block; a message without any gets an empty text. */
  end(): string {
    if (this.#count === 0) return this.#enter('text', { type: 'text', text: '' }) + this.#close();
    return this.#close();
  }

  #enter(kind: string, block: object): string {
    if (this.#open === kind) return '';
    const closed = this.#close();
    this.#open = kind;
    return closed + event('content_block_start', { index: this.#count++, content_block: block });
  }

  #delta(delta: object): string {
    return event('content_block_delta', { index: this.#count - 1, delta });
  }

  #close(): string {
    if (this.#open === undefined) return '';
    this.#open = undefined;
    return event('content_block_stop', { index: this.#count - 1 });
  }
}

/** The events of a request's runs: what each of them brings, in the words of its route. No promise is made for a chunk. */
import {
  type ChunkReader,
  chunkReader,
  type Generation,
  type GenerationChunk,
  type GenerationResult,
  type PromptUsage,
} from '../engine/run.js';
import { Beginning, withoutBeginning } from './begun-answer.js';
import type { EventSource } from './event-source.js';

/** What one run brings: a chunk, or its end. Runs are numbered prompt by prompt, `n` to each. */
export type RunPart =
  | { index: number; chunk: GenerationChunk; prompt: PromptUsage | undefined; result?: undefined }
  | { index: number; chunk?: undefined; result: GenerationResult };

/** How a route tells what its runs bring. */
export interface EventWriter {
  /** Whole events; '' where it says nothing. */
  part(part: RunPart): string;
  /** What comes last. @param results in the order of the runs */
  end(results: readonly GenerationResult[]): string;
}

export interface RunEventsTask {
  runs: readonly Generation[];
  writer: EventWriter;
  /** What the answers were begun with, which is not told; '': nothing. */
  begun?: string;
  /** A run that it has ended fails with its reason. */
  signal: AbortSignal;
  /** Called when all runs have ended. */
  onResults(results: readonly GenerationResult[]): void;
}

export class RunEvents implements EventSource {
  onNews: () => void = () => {};
  readonly #task: RunEventsTask;
  readonly #readers: readonly ChunkReader[];
  readonly #beginnings: readonly Beginning[];
  readonly #results: GenerationResult[] = [];
  /** Runs that may have something to tell: at first all, for what they brought before told nobody. */
  readonly #fresh: Set<number>;
  #running: number;
  #text = '';
  #failure: { error: unknown } | undefined;

  constructor(task: RunEventsTask) {
    this.#task = task;
    this.#running = task.runs.length;
    this.#fresh = new Set(task.runs.keys());
    this.#beginnings = task.runs.map(() => new Beginning(task.begun ?? ''));
    this.#readers = task.runs.map((run, index) =>
      chunkReader(run, () => {
        this.#fresh.add(index);
        this.onNews();
      }),
    );
  }

  read(): string | undefined {
    this.#collect();
    const text = this.#text;
    this.#text = '';
    if (text !== '') return text;
    // What came before the failure has been told.
    if (this.#failure) throw this.#failure.error;
    return this.#running > 0 ? '' : undefined;
  }

  leave(): void {
    for (const reader of this.#readers) reader.leave();
  }

  #collect(): void {
    if (this.#failure !== undefined || this.#running === 0) return;
    try {
      for (const index of this.#fresh) this.#collectFrom(index);
      if (this.#running > 0) return;
      this.#task.onResults(this.#results);
      this.#text += this.#task.writer.end(this.#results);
    } catch (error) {
      this.#failure = { error };
    }
  }

  #collectFrom(index: number): void {
    const { writer, signal, begun = '' } = this.#task;
    const reader = this.#readers[index];
    const beginning = this.#beginnings[index];
    this.#fresh.delete(index);
    for (let chunk = reader.take(); chunk !== undefined; chunk = reader.take()) {
      this.#text += writer.part({ index, chunk: beginning.cut(chunk), prompt: reader.prompt() });
    }
    const ended = reader.result();
    if (ended === undefined || this.#results[index] !== undefined) return;
    signal.throwIfAborted();
    const result = withoutBeginning(ended, begun);
    this.#results[index] = result;
    this.#running--;
    this.#text += writer.part({ index, result });
  }
}

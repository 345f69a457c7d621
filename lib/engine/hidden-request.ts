/** A request that hands the hidden states of its tokens to one taker as they come. Generates nothing, keeps nothing. */
import { type StepResult, WANTS_HIDDEN } from '../native.js';
import { Deferred } from './deferred.js';
import type { Engine } from './engine.js';
import { type Branch, Request, type WantedRow } from './request.js';

export interface HiddenTask {
  /** One sequence, at most the context. */
  tokens: Int32Array;
  /** Positions [from, to) whose hidden states are wanted. */
  from: number;
  to: number;
  /** Called for each of them in order; the row [hidden] f32, after the final norm, is the step's: read it at once. */
  take(row: Float32Array, position: number): void;
  adapter?: number;
  signal?: AbortSignal;
}

class HiddenStatesRequest extends Request {
  readonly #task: HiddenTask;
  readonly #done = new Deferred<void>();
  #next: number;

  constructor(task: HiddenTask) {
    super(task.tokens, task.tokens.length, { reuse: false }, 1, task.adapter);
    this.#task = task;
    this.#next = task.from;
  }

  get done(): Promise<void> {
    return this.#done.promise;
  }

  get paused(): boolean {
    return false;
  }

  wantedRows(count: number, { computed }: Branch): WantedRow[] {
    const first = Math.max(computed, this.#task.from);
    const rows = Math.max(0, Math.min(computed + count, this.#task.to) - first);
    return Array.from({ length: rows }, (_, i) => ({
      position: first + i,
      wants: WANTS_HIDDEN,
      temperature: 1,
      fullLogits: false,
      target: -1,
    }));
  }

  take(result: StepResult, first: number, count: number): void {
    for (let row = first; row < first + count; row++) {
      this.#task.take(result.hidden?.[row] as Float32Array, this.#next++);
    }
    if (this.#next < this.#task.to) return;
    this.settled = true;
    this.#done.resolve();
  }

  abort(): void {
    this.fail(this.#task.signal?.reason);
  }

  fail(error: unknown): void {
    if (this.settled) return;
    this.settled = true;
    this.#done.reject(error);
  }
}

/** Throws CONTEXT_OVERFLOW, DISPOSED or the signal's reason. */
export async function takeHidden(engine: Engine, task: HiddenTask): Promise<void> {
  const { signal } = task;
  signal?.throwIfAborted();
  const request = new HiddenStatesRequest(task);
  const stop = () => engine.cancel(request);
  signal?.addEventListener('abort', stop, { once: true });
  try {
    engine.submit(request);
    await request.done;
  } finally {
    signal?.removeEventListener('abort', stop);
  }
}

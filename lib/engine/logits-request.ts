/** A request that reads: whole rows of logits, a few at a time, as its caller takes them. Generates nothing. */
import { Deferred } from './deferred.js';
import type { StepResult } from '../native.js';
import type { Engine } from './engine.js';
import { type Branch, Request, type WantedRow } from './request.js';

/** Rows of one step: 64 of a vocabulary of 128k are 33 MB. */
const ROWS_AT_ONCE = 64;
/** Steps whose rows wait for the caller; one more would only take memory. */
const MOST_UNREAD = 2;

export class LogitsRequest extends Request {
  readonly #from: number;
  readonly #signal: AbortSignal | undefined;
  #unread: Float32Array[][] = [];
  #failure: { error: unknown } | undefined;
  #waiting: Deferred<void> | undefined;

  /** @param from position of the first token after which logits are wanted; they are for all tokens from it on. */
  constructor(tokens: Int32Array, from: number, signal: AbortSignal | undefined) {
    super(tokens, tokens.length, { reuse: false });
    this.#from = from;
    this.#signal = signal;
  }

  /** The rows of the next step, [vocab] each; undefined after the last. */
  async next(): Promise<Float32Array[] | undefined> {
    while (this.#unread.length === 0) {
      if (this.#failure) throw this.#failure.error;
      if (this.settled) return undefined;
      this.#waiting = new Deferred();
      await this.#waiting.promise;
    }
    return this.#unread.shift();
  }

  get paused(): boolean {
    return this.#unread.length >= MOST_UNREAD;
  }

  override remaining({ positions, computed }: Branch): number {
    if (computed < this.#from) return this.#from - computed;
    return Math.min(ROWS_AT_ONCE, positions - computed);
  }

  wantedRows(count: number, { computed }: Branch): WantedRow[] {
    const first = Math.max(computed, this.#from);
    const rows = Math.max(0, computed + count - first);
    return Array.from({ length: rows }, (_, i) => ({
      position: first + i,
      temperature: 1,
      fullLogits: true,
      target: -1,
    }));
  }

  take(result: StepResult, first: number, count: number): void {
    this.#unread.push(result.fullLogits.slice(first, first + count) as Float32Array[]);
    if (this.branch.computed === this.branch.positions) this.settled = true;
    this.#waiting?.resolve();
  }

  abort(): void {
    this.fail(this.#signal?.reason);
  }

  fail(error: unknown): void {
    if (this.settled) return;
    this.settled = true;
    this.#unread = [];
    this.#failure = { error };
    this.#waiting?.resolve();
  }
}

/**
 * The logits after each of tokens[from..], in order, [vocab] f32. A few dozen rows are computed ahead; leaving the loop
 * stops the work.
 * @param tokens one window, at most the context, fed alone.
 * @throws CONTEXT_OVERFLOW, DISPOSED or the signal's reason.
 */
export async function* readLogits(
  engine: Engine,
  tokens: Int32Array,
  from: number,
  signal?: AbortSignal,
): AsyncGenerator<Float32Array, void, undefined> {
  signal?.throwIfAborted();
  const request = new LogitsRequest(tokens, from, signal);
  const stop = () => engine.cancel(request);
  signal?.addEventListener('abort', stop, { once: true });
  try {
    engine.submit(request);
    for (;;) {
      const rows = await request.next();
      if (rows === undefined) return;
      engine.wake();
      yield* rows;
    }
  } finally {
    signal?.removeEventListener('abort', stop);
    stop();
  }
}

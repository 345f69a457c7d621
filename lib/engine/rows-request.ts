/** Requests that read: rows of logits or hidden states, a few steps at a time, as their caller takes them. Generate nothing. */
import { WANTS_HIDDEN, WANTS_LOGITS, type StepResult } from '../native.js';
import { Deferred } from './deferred.js';
import type { Engine } from './engine.js';
import { type Branch, Request, type WantedRow } from './request.js';

/** Rows of logits of one step: 64 of a vocabulary of 128k are 33 MB. */
const LOGITS_AT_ONCE = 64;
/** Steps whose rows wait for the caller; one more would only take memory. */
const MOST_UNREAD = 2;

interface Reading {
  /** One window, at most the context, fed alone. */
  tokens: Int32Array;
  /** Position of the first token whose row is wanted; they are for all tokens from it on. */
  from: number;
  adapter?: number;
  signal?: AbortSignal;
}

abstract class RowsRequest extends Request {
  protected readonly from: number;
  readonly #signal: AbortSignal | undefined;
  #unread: Float32Array[][] = [];
  #failure: { error: unknown } | undefined;
  #waiting: Deferred<void> | undefined;

  constructor({ tokens, from, adapter, signal }: Reading) {
    super(tokens, tokens.length, { reuse: false }, 1, adapter);
    this.from = from;
    this.#signal = signal;
  }

  protected abstract readonly wants: number;
  protected abstract rowsOf(result: StepResult): readonly (Float32Array | null)[];

  /** The rows of the next step; undefined after the last. */
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

  wantedRows(count: number, { computed }: Branch): WantedRow[] {
    const first = Math.max(computed, this.from);
    const rows = Math.max(0, computed + count - first);
    const { wants } = this;
    return Array.from({ length: rows }, (_, i) => ({
      position: first + i,
      wants,
      temperature: 1,
      fullLogits: wants === WANTS_LOGITS,
      target: -1,
    }));
  }

  take(result: StepResult, first: number, count: number): void {
    this.#unread.push(this.rowsOf(result).slice(first, first + count) as Float32Array[]);
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

class LogitsRequest extends RowsRequest {
  protected readonly wants = WANTS_LOGITS;

  override remaining({ positions, computed }: Branch): number {
    if (computed < this.from) return this.from - computed;
    return Math.min(LOGITS_AT_ONCE, positions - computed);
  }

  protected rowsOf(result: StepResult) {
    return result.fullLogits;
  }
}

class HiddenRequest extends RowsRequest {
  protected readonly wants = WANTS_HIDDEN;

  protected rowsOf(result: StepResult) {
    return result.hidden ?? [];
  }
}

/**
 * The logits after each of tokens[from..], in order, [vocab] f32. A few dozen rows are computed ahead; leaving the loop
 * stops the work.
 * @throws CONTEXT_OVERFLOW, DISPOSED or the signal's reason.
 */
export function readLogits(engine: Engine, reading: Reading): AsyncGenerator<Float32Array, void, undefined> {
  return read(engine, () => new LogitsRequest(reading), reading.signal);
}

/** The same of hidden states after the final norm, [hidden] f32: of all tokens from 0, of the last alone from length - 1. */
export function readHidden(engine: Engine, reading: Reading): AsyncGenerator<Float32Array, void, undefined> {
  return read(engine, () => new HiddenRequest(reading), reading.signal);
}

async function* read(
  engine: Engine,
  create: () => RowsRequest,
  signal: AbortSignal | undefined,
): AsyncGenerator<Float32Array, void, undefined> {
  signal?.throwIfAborted();
  const request = create();
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

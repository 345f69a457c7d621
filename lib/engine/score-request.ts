/** A request that scores: the log-probability of each token given those before it. Generates nothing. */
import { Deferred } from './deferred.js';
import type { StepResult } from '../native.js';
import { type Branch, Request, type WantedRow } from './request.js';

export class ScoreRequest extends Request {
  readonly #from: number;
  readonly #logprobs: Float64Array;
  readonly #result = new Deferred<Float64Array>();
  readonly #signal: AbortSignal | undefined;
  #scored = 0;

  /** @param from first token to score, at least 1. */
  constructor(tokens: Int32Array, from: number, signal: AbortSignal | undefined) {
    // The last token is only a target.
    super(tokens, tokens.length - 1, { reuse: false });
    this.#from = from;
    this.#signal = signal;
    this.#logprobs = new Float64Array(tokens.length - from);
  }

  /** Natural logarithms for tokens[from..]. */
  get result(): Promise<Float64Array> {
    return this.#result.promise;
  }

  get paused(): boolean {
    return false;
  }

  override remaining({ positions, computed }: Branch): number {
    return positions - computed;
  }

  wantedRows(count: number, { computed, tokens }: Branch): WantedRow[] {
    const rows: WantedRow[] = [];
    for (let position = Math.max(computed, this.#from - 1); position < computed + count; position++) {
      rows.push({ position, temperature: 1, fullLogits: false, target: tokens[position + 1] });
    }
    return rows;
  }

  take(result: StepResult, first: number, count: number): void {
    for (let row = first; row < first + count; row++) {
      this.#logprobs[this.#scored++] = result.targetLogits[row] - result.logSumExp1[row];
    }
    if (this.remaining(this.branch) > 0) return;
    this.settled = true;
    this.#result.resolve(this.#logprobs);
  }

  abort(): void {
    this.fail(this.#signal?.reason);
  }

  fail(error: unknown): void {
    if (this.settled) return;
    this.settled = true;
    this.#result.reject(error);
  }
}

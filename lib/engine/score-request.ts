/** A request that scores: the log-probability of each token given those before it. Generates nothing. */
import type { StepResult } from '../native.js';
import { AnswerRequest, type Asking } from './answer-request.js';
import type { Branch, WantedRow } from './request.js';

/** The answer: natural logarithms for tokens[from..]. */
export class ScoreRequest extends AnswerRequest<Float64Array> {
  readonly #from: number;
  readonly #logprobs: Float64Array;
  #scored = 0;

  /** @param from first token to score, at least 1. */
  constructor(tokens: Int32Array, from: number, asking: Pick<Asking, 'adapter' | 'signal'>) {
    // The last token is only a target.
    super(tokens, tokens.length - 1, asking);
    this.#from = from;
    this.#logprobs = new Float64Array(tokens.length - from);
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
    if (this.remaining(this.branch) === 0) this.answer(this.#logprobs);
  }
}

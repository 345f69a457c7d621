/**
 * A request that weighs answers: the log-probability of each of several continuations of one beginning, which is computed
 * once. Generates nothing.
 */
import type { StepResult } from '../native.js';
import { AnswerRequest } from './answer-request.js';
import type { Branch, WantedRow } from './request.js';

export interface DecideTask {
  /** What all answers have in common: at least one id. */
  shared: Int32Array;
  /** The ids of each answer after that, at least one each. */
  answers: readonly Int32Array[];
  adapter?: number;
  signal?: AbortSignal;
}

/** The answer: natural logarithms, in the order of the answers of the task. */
export class DecideRequest extends AnswerRequest<Float64Array> {
  readonly #logprobs: Float64Array;

  constructor({ shared, answers, adapter, signal }: DecideTask) {
    // The last token of an answer is only a target.
    const positions = shared.length + Math.max(...answers.map(({ length }) => length)) - 1;
    super(shared, positions, { branches: answers.length, adapter, signal });
    answers.forEach((answer, i) => {
      const branch = this.branches[i];
      branch.tokens.set(answer, shared.length);
      branch.length = shared.length + answer.length;
    });
    this.#logprobs = new Float64Array(answers.length);
  }

  override remaining({ length, computed }: Branch): number {
    return length - 1 - computed;
  }

  wantedRows(count: number, { computed, tokens }: Branch): WantedRow[] {
    const last = this.shared - 1;
    const rows: WantedRow[] = [];
    for (let position = Math.max(computed, last); position < computed + count; position++) {
      // After the last common token come the first tokens of all answers.
      const fullLogits = position === last;
      rows.push({ position, temperature: 1, fullLogits, target: fullLogits ? -1 : tokens[position + 1] });
    }
    return rows;
  }

  take(result: StepResult, first: number, count: number, _now: number, branch: Branch): void {
    for (let row = first; row < first + count; row++) {
      const full = result.fullLogits[row];
      const norm = result.logSumExp1[row];
      if (full) {
        this.branches.forEach(({ tokens }, i) => {
          this.#logprobs[i] += full[tokens[this.shared]] - norm;
        });
      } else {
        this.#logprobs[this.branches.indexOf(branch)] += result.targetLogits[row] - norm;
      }
    }
    // Others of the step have rows of their own to come; those that do not run yet may need none.
    const waiting = branch.computed >= this.shared ? this.branches.filter(isWaiting) : [];
    for (const one of waiting) one.settled = one.length - 1 === this.shared;
    branch.settled = branch.computed === branch.length - 1;
    if (this.live.length === 0) this.answer(this.#logprobs);
  }
}

const isWaiting = ({ sequence, settled }: Branch) => sequence === undefined && !settled;

/** Ends thoughts whose budget of tokens is used up: the tokens of their end are taken whatever the model wants. */

export interface SteeringTask {
  /** Most tokens of all thoughts. */
  budget: number;
  /** What ends thoughts. */
  thoughtEnd: Int32Array;
}

/** What steering sees of an answer. */
export interface SteeredAnswer {
  readonly isReasoning: boolean;
}

export class Steering {
  readonly #task: SteeringTask;
  readonly #answer: SteeredAnswer;
  #thoughtTokens = 0;
  /** Tokens of the forced end that have come; undefined: it has not begun. */
  #endAt: number | undefined;

  constructor(task: SteeringTask, answer: SteeredAnswer) {
    this.#task = task;
    this.#answer = answer;
  }

  /** The next token is this one; undefined: any. */
  forced(): number | undefined {
    const { budget, thoughtEnd } = this.#task;
    if (this.#endAt !== undefined) return thoughtEnd[this.#endAt];
    if (!this.#answer.isReasoning || this.#thoughtTokens < budget) return undefined;
    this.#endAt = 0;
    return thoughtEnd[0];
  }

  /** A token was chosen. Called before the answer reads it. */
  accept(token: number): void {
    const { thoughtEnd } = this.#task;
    if (this.#endAt !== undefined) {
      // Where a structure lets another one alone through, that ends the thought.
      const goesOn = token === thoughtEnd[this.#endAt] && this.#endAt + 1 < thoughtEnd.length;
      this.#endAt = goesOn ? this.#endAt + 1 : undefined;
    } else if (this.#answer.isReasoning) {
      this.#thoughtTokens++;
    }
  }
}

/**
 * Tokens that an answer has to have: what begins a call that is required, and what ends thoughts whose budget is used up.
 * The model chooses among what is allowed; where that is one token, it is taken as it is.
 */

export interface SteeringTask {
  /** The answer, or its text after reasoning, begins with one of these [tokens]; empty: with anything. */
  openings: readonly Int32Array[];
  /** What stands before an opening where the answer has thought. Default: nothing. */
  afterThought?: Int32Array;
  /** The marker with which thoughts begin: they may come before. Absent: the model does not think. */
  thoughtStart?: Int32Array;
  /** Most tokens of all thoughts. Absent: no bound. */
  budget?: number;
  /** What ends thoughts. */
  thoughtEnd?: Int32Array;
}

/** What steering sees of an answer. */
export interface SteeredAnswer {
  readonly isReasoning: boolean;
  readonly hasReasoning: boolean;
}

export class Steering {
  readonly #task: SteeringTask;
  readonly #answer: SteeredAnswer;
  /** Those that go on as the answer does; none: it is free. */
  #open: readonly Int32Array[] = [];
  /** Tokens of them that have come. */
  #at = 0;
  #hasOpened: boolean;
  #thoughtTokens = 0;
  /** Tokens of the forced end that have come; undefined: it has not begun. */
  #endAt: number | undefined;

  constructor(task: SteeringTask, answer: SteeredAnswer) {
    this.#task = task;
    this.#answer = answer;
    this.#hasOpened = task.openings.length === 0;
  }

  /** The next token is one of these; undefined: any. */
  allowed(): readonly number[] | undefined {
    const { budget, thoughtEnd } = this.#task;
    if (this.#endAt !== undefined) return [thoughtEnd![this.#endAt]];
    if (this.#answer.isReasoning) {
      if (budget === undefined || thoughtEnd === undefined || this.#thoughtTokens < budget) return undefined;
      this.#endAt = 0;
      return [thoughtEnd[0]];
    }
    if (this.#hasOpened) return undefined;
    if (this.#at === 0) this.#open = this.#beginnings();
    return [...new Set(this.#open.map((tokens) => tokens[this.#at]))];
  }

  /** A token was chosen. Called before the answer reads it. */
  accept(token: number): void {
    if (this.#endAt !== undefined) {
      this.#endAt = this.#endAt + 1 < this.#task.thoughtEnd!.length ? this.#endAt + 1 : undefined;
    } else if (this.#answer.isReasoning) {
      this.#thoughtTokens++;
    } else if (!this.#hasOpened) {
      this.#follow(token);
    }
  }

  #follow(token: number): void {
    this.#open = this.#open.filter((tokens) => tokens[this.#at] === token);
    this.#at++;
    const whole = this.#open.find((tokens) => tokens.length === this.#at);
    if (whole === undefined) return;
    this.#hasOpened = whole !== this.#task.thoughtStart;
    this.#at = 0;
  }

  #beginnings(): readonly Int32Array[] {
    const { openings, thoughtStart, afterThought } = this.#task;
    if (this.#answer.hasReasoning) {
      return afterThought
        ? openings.map((tokens) => Int32Array.from([...afterThought, ...tokens]))
        : openings;
    }
    return thoughtStart === undefined ? openings : [...openings, thoughtStart];
  }
}

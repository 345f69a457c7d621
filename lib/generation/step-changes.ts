/** What is done to logits before any choice: the penalties of `penalties.ts`, then what the rules of a step take. */
import type { LogitChanges } from './logit-changes.js';
import type { Penalties } from './penalties.js';
import type { TokenRule } from './token-rules.js';

export class StepChanges implements LogitChanges {
  /** Most tokens that lose all in one step; Infinity where more than that is changed. */
  readonly mostBans: number;
  readonly #penalties: Penalties | undefined;
  readonly #rules: readonly TokenRule[];
  /** Of this step: what the logit of a token loses. */
  readonly #taken = new Map<number, number>();
  #touched: readonly number[] = [];
  /** The prompt and the output, `#length` ids. */
  #history = new Int32Array(256);
  #length = 0;
  #generated = 0;

  /** @param rules at least one. */
  constructor(penalties: Penalties | undefined, rules: readonly TokenRule[]) {
    this.#penalties = penalties;
    this.#rules = rules;
    this.mostBans = penalties ? Number.POSITIVE_INFINITY : rules.reduce((sum, { most }) => sum + most, 0);
  }

  get onlyBans(): boolean {
    return Number.isFinite(this.mostBans);
  }

  get touched(): readonly number[] {
    return this.#touched;
  }

  isTouched(id: number): boolean {
    return this.#taken.has(id) || this.#penalties?.isTouched(id) === true;
  }

  apply(id: number, logit: number): number {
    const value = this.#penalties ? this.#penalties.apply(id, logit) : logit;
    const amount = this.#taken.get(id);
    return amount === undefined ? value : Math.fround(value - amount);
  }

  acceptPrompt(id: number): void {
    this.#penalties?.acceptPrompt(id);
    this.#push(id);
  }

  acceptGenerated(id: number): void {
    this.#penalties?.acceptGenerated(id);
    this.#push(id);
    this.#generated++;
  }

  /** Asks the rules about the next token. */
  begin(): void {
    const taken = this.#taken;
    taken.clear();
    const take = (id: number, amount: number) => {
      taken.set(id, amount + (taken.get(id) ?? 0));
    };
    const history = this.#history.subarray(0, this.#length);
    for (const rule of this.#rules) rule.apply(history, this.#generated, take);
    const penalties = this.#penalties;
    const own = [...taken.keys()];
    this.#touched = penalties ? [...penalties.touched, ...own.filter((id) => !penalties.isTouched(id))] : own;
  }

  #push(id: number): void {
    if (this.#length === this.#history.length) {
      const longer = new Int32Array(2 * this.#length);
      longer.set(this.#history);
      this.#history = longer;
    }
    this.#history[this.#length++] = id;
  }
}

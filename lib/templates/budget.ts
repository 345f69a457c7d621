/** What one rendering may use. Without it a template of a few lines takes all memory, or never ends. */
import { LimitReached } from './failure.js';

export interface Limits {
  /** Expressions, statements and items handled. */
  steps: number;
  /** UTF-16 units of all strings made. */
  characters: number;
  /** UTF-16 units of one string. */
  longest: number;
  /** Items of a range, as in the reference. */
  range: number;
  /** Calls, blocks and expressions inside each other. */
  depth: number;
  /** Lists and mappings inside each other. */
  nesting: number;
  /** Bits of an integer. */
  bits: number;
}

export const defaultLimits: Limits = {
  steps: 1_000_000,
  characters: 2 ** 28,
  longest: 2 ** 25,
  range: 100_000,
  depth: 400,
  nesting: 200,
  bits: 14_000,
};

const stepsBetweenQuestions = 4096;

export class Budget {
  #steps = 0;
  #characters = 0;
  #depth = 0;
  #asked = stepsBetweenQuestions;

  constructor(
    readonly limits: Limits = defaultLimits,
    readonly interrupt?: () => void,
  ) {}

  step(count = 1): void {
    this.#steps += count;
    if (this.#steps >= this.#asked) {
      this.interrupt?.();
      this.#asked = this.#steps + stepsBetweenQuestions;
    }
    if (this.#steps > this.limits.steps) throw new LimitReached(`more than ${this.limits.steps} steps`);
  }

  /** Before a string of this many units is made. */
  text(length: number): void {
    this.#characters += length;
    if (length > this.limits.longest) {
      throw new LimitReached(`a string of more than ${this.limits.longest} characters`);
    }
    if (this.#characters > this.limits.characters) {
      throw new LimitReached(`strings of more than ${this.limits.characters} characters together`);
    }
  }

  range(length: bigint): void {
    if (length > BigInt(this.limits.range)) {
      throw new LimitReached(`a range of more than ${this.limits.range} items`);
    }
  }

  /** Depth of values inside each other. */
  nested(depth: number): void {
    if (depth > this.limits.nesting) {
      throw new LimitReached(`values nested more than ${this.limits.nesting} deep`);
    }
  }

  bits(count: bigint | number): void {
    if (count > this.limits.bits) throw new LimitReached(`an integer of more than ${this.limits.bits} bits`);
  }

  enter(): void {
    if (++this.#depth > this.limits.depth) {
      throw new LimitReached(`calls and blocks more than ${this.limits.depth} deep`);
    }
  }

  leave(): void {
    this.#depth--;
  }
}

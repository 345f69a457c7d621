/**
 * How often proposals are right, by class, as one text shows it. Also of those that nobody checked: what comes next tells all
 * the same, so that a text without repetitions costs no step to find that out.
 */

/** What is expected counts as so many observations. */
const EXPECTATION_WEIGHT = 4;
/** Weight that an observation keeps with each that follows in its class. */
const MEMORY = 0.95;

export class Acceptance {
  /** [classes] expected before anything is seen. */
  readonly #expected: readonly number[];
  /** [classes] weights of what was observed, and of what of it was right. */
  readonly #seen: Float64Array;
  readonly #right: Float64Array;

  constructor(expected: readonly number[]) {
    this.#expected = expected;
    this.#seen = new Float64Array(expected.length);
    this.#right = new Float64Array(expected.length);
  }

  /** Of one proposed token, where those before it are right. */
  chance(of: number): number {
    const expected = this.#expected[of] * EXPECTATION_WEIGHT;
    return (this.#right[of] + expected) / (this.#seen[of] + EXPECTATION_WEIGHT);
  }

  /** [classes] Chances that a proposal is right up to each of its tokens. */
  chances(classes: readonly number[]): number[] {
    let all = 1;
    return classes.map((of) => {
      all *= this.chance(of);
      return all;
    });
  }

  observe(of: number, isRight: boolean): void {
    this.#seen[of] = this.#seen[of] * MEMORY + 1;
    this.#right[of] = this.#right[of] * MEMORY + (isRight ? 1 : 0);
  }
}

/** The first class whose upper end is not below a value; beyond all of them is a class of its own. */
export function classOf(value: number, ends: readonly number[]): number {
  const found = ends.findIndex((end) => value <= end);
  return found < 0 ? ends.length : found;
}

/**
 * Locally typical sampling (Meister et al., 2022): keeps the tokens whose surprise is closest to the entropy of the
 * distribution, the fewest whose probabilities sum to at least `mass`.
 */
import type { Shortlist } from './shortlist.js';

export class TypicalFilter {
  /** [n] -|surprise - entropy|, so that the most typical is the largest. */
  readonly #closeness: Float32Array;

  constructor(vocabSize: number) {
    this.#closeness = new Float32Array(vocabSize);
  }

  keep(list: Shortlist, mass: number): void {
    if (mass >= 1) return;
    if (!list.complete) list.extend();
    const total = list.total();
    this.#measure(list, total);
    list.keepMass(this.#closeness, mass * total);
  }

  #measure(list: Shortlist, total: number): void {
    let entropy = 0;
    for (let i = 0; i < list.n; i++) {
      const p = list.weights[i] / total;
      if (p > 0) entropy -= p * Math.log(p);
    }
    for (let i = 0; i < list.n; i++) {
      this.#closeness[i] = -Math.abs(-Math.log(list.weights[i] / total) - entropy);
    }
  }
}

/**
 * Locally typical sampling (Meister et al., 2022): keeps the tokens whose surprise is closest to the entropy of the
 * distribution, the fewest whose probabilities sum to at least `mass`.
 */
import { LargestFinder } from './largest.js';
import type { Shortlist } from './shortlist.js';

export class TypicalFilter {
  readonly #finder: LargestFinder;
  /** [n] -|surprise - entropy|, so that the most typical is the largest. */
  readonly #closeness: Float32Array;
  readonly #order: Int32Array;
  readonly #kept: { ids: Int32Array; weights: Float64Array };

  constructor(vocabSize: number) {
    this.#finder = new LargestFinder(vocabSize);
    this.#closeness = new Float32Array(vocabSize);
    this.#order = new Int32Array(vocabSize);
    this.#kept = { ids: new Int32Array(vocabSize), weights: new Float64Array(vocabSize) };
  }

  /** Leaves the survivors in `list`, the most typical first. */
  keep(list: Shortlist, mass: number): void {
    if (mass >= 1) return;
    if (!list.complete) list.extend(Number.MAX_SAFE_INTEGER);
    const total = list.total();
    this.#measure(list, total);
    this.#finder.find(this.#closeness, list.n, list.n, this.#order);
    const { ids, weights } = this.#kept;
    let sum = 0;
    let n = 0;
    while (n < list.n && sum < mass * total) {
      const place = this.#order[n];
      ids[n] = list.ids[place];
      weights[n] = list.weights[place];
      sum += weights[n++];
    }
    list.ids.set(ids.subarray(0, n));
    list.weights.set(weights.subarray(0, n));
    list.cut(n);
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

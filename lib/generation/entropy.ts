/** Samplers that are led by how surprising the text is: dynamic temperature and Mirostat 2.0. */
import type { Shortlist } from './shortlist.js';

/**
 * Divides the logits by `low + (high - low) * (entropy / log(n)) ^ exponent`, where entropy is that of the list at
 * temperature 1 and n the number of its tokens.
 */
export function temperByEntropy(list: Shortlist, low: number, high: number, exponent: number): void {
  if (!list.complete) list.extend();
  if (list.n < 2) return;
  const total = list.total();
  let entropy = 0;
  for (let i = 0; i < list.n; i++) {
    const p = list.weights[i] / total;
    if (p > 0) entropy -= p * Math.log(p);
  }
  const share = Math.max(0, Math.min(1, entropy / Math.log(list.n)));
  const temperature = low + (high - low) * share ** exponent;
  if (temperature > 0) list.temper(temperature);
  else list.keepLargest(1);
}

/** Mirostat 2.0 (Basu et al., 2021): keeps the tokens whose surprise is at most mu, which follows what was drawn. */
export class Mirostat {
  readonly #tau: number;
  readonly #eta: number;
  /** In bits. */
  #mu: number;

  constructor({ tau, eta }: { tau: number; eta: number }) {
    this.#tau = tau;
    this.#eta = eta;
    this.#mu = 2 * tau;
  }

  /** Keeps at least the most probable token. */
  keep(list: Shortlist): void {
    const least = Math.min(1, list.total() * 2 ** -this.#mu);
    if (!list.complete && list.weights[list.n - 1] >= least) list.extend();
    list.keepWeights(least);
  }

  /** @param token that was drawn from what `keep` left. */
  observe(list: Shortlist, token: number): void {
    const surprise = Math.log2(list.total() / list.weights[list.ids.indexOf(token)]);
    this.#mu -= this.#eta * (surprise - this.#tau);
  }
}

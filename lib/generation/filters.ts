/**
 * The stages that throw tokens out, each over the survivors of the stage before, renormalised. A stage keeps at least
 * one token. Where the shortlist is too short to decide, the stage takes in the whole vocabulary.
 */
import type { Shortlist } from './shortlist.js';

/** Keeps the k most probable; exactly k, equal logits by the lower id. */
export function keepTopK(list: Shortlist, k: number): void {
  if (k > 0) list.keepLargest(k);
}

/** Keeps the fewest most probable tokens whose probabilities sum to at least p. */
export function keepTopP(list: Shortlist, p: number, minP: number): void {
  if (p >= 1) return;
  const target = p * list.total();
  if (list.sorted) {
    let sum = 0;
    for (let i = 0; i < list.n; i++) {
      sum += list.weights[i];
      if (sum < target) continue;
      list.cut(i + 1);
      return;
    }
    // What min-p throws out next is outside the list already: top-p cannot matter.
    if (list.complete || list.weights[list.n - 1] < minP) return;
    list.extend();
  }
  list.keepMass(list.logits, p * list.total());
}

/** Keeps the tokens at least `minP` times as probable as the most probable one. */
export function keepMinP(list: Shortlist, minP: number): void {
  if (minP <= 0) return;
  if (!list.complete && list.weights[list.n - 1] >= minP) list.extend();
  list.keepWeights(minP);
}

/** Keeps the tokens whose logit is at most `n` standard deviations of all logits in the list below the largest. */
export function keepTopNSigma(list: Shortlist, n: number): void {
  if (!list.complete) list.extend();
  let sum = 0;
  let count = 0;
  let max = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < list.n; i++) {
    const logit = list.logits[i];
    // Forbidden tokens are no part of the distribution.
    if (logit === Number.NEGATIVE_INFINITY) continue;
    sum += logit;
    count++;
    if (logit > max) max = logit;
  }
  const mean = sum / count;
  let squares = 0;
  for (let i = 0; i < list.n; i++) {
    if (list.logits[i] !== Number.NEGATIVE_INFINITY) squares += (list.logits[i] - mean) ** 2;
  }
  list.keepLogits(max - n * Math.sqrt(squares / count));
}

/** Of the tokens of at least this probability drops all but the least probable one. */
export function dropTopChoices(list: Shortlist, threshold: number): void {
  if (!list.complete) list.extend();
  list.dropWeights(threshold * list.total());
}

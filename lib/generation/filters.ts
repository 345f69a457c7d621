/**
 * The stages that throw tokens out, each over the survivors of the stage before, renormalised. A stage keeps at least
 * one token. Where the shortlist is too short to decide, the stage extends it, so that the result is that of the whole
 * vocabulary.
 */
import type { Shortlist } from './shortlist.js';

/** Keeps the k most probable; exactly k, equal logits by the lower id. */
export function keepTopK(list: Shortlist, k: number): void {
  if (k === 0) return;
  if (k > list.n && !list.complete) list.extend(k);
  if (k < list.n || !list.complete) list.cut(Math.min(k, list.n));
}

/** Keeps the fewest most probable tokens whose probabilities sum to at least p. */
export function keepTopP(list: Shortlist, p: number, minP: number): void {
  if (p >= 1) return;
  for (;;) {
    const target = p * list.total();
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
}

/** Keeps the tokens at least `minP` times as probable as the most probable one. */
export function keepMinP(list: Shortlist, minP: number): void {
  if (minP <= 0) return;
  for (;;) {
    let n = 1;
    while (n < list.n && list.weights[n] >= minP) n++;
    if (n < list.n) list.cut(n);
    if (list.complete) return;
    list.extend();
  }
}

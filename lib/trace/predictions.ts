/** What a row of logits says. */
import type { Candidate } from './trace.js';

/** ln(sum(exp(logit))) and -sum(p ln p), in float64. */
export function entropyOf(logits: Float32Array): { logSumExp: number; entropy: number } {
  let max = Number.NEGATIVE_INFINITY;
  for (const logit of logits) if (logit > max) max = logit;
  let [sum, weighted] = [0, 0];
  for (const logit of logits) {
    const weight = Math.exp(logit - max);
    if (weight === 0) continue;
    sum += weight;
    weighted += weight * (logit - max);
  }
  return { logSumExp: max + Math.log(sum), entropy: Math.log(sum) - weighted / sum };
}

/** The largest logits, equal ones by the lower id. */
export function candidatesOf(
  logits: Float32Array,
  count: number,
  textOf: (id: number) => string,
): Candidate[] {
  const { logSumExp } = entropyOf(logits);
  const best: number[] = [];
  for (let id = 0; id < logits.length; ++id) {
    const logit = logits[id]!;
    if (best.length === count && !(logit > logits[best[count - 1]!]!)) continue;
    let at = best.length;
    while (at > 0 && logit > logits[best[at - 1]!]!) --at;
    best.splice(at, 0, id);
    if (best.length > count) best.pop();
  }
  return best.map((id) => {
    const logit = logits[id]!;
    return { id, text: textOf(id), logit, probability: Math.exp(logit - logSumExp) };
  });
}

/** A row of logits of which only a few tokens may be chosen. */
import type { LogitRow } from './sampling-options.js';

/** @param row with all its logits. @param allowed ids, none twice. */
export function amongAllowed(row: LogitRow, allowed: readonly number[], temperature: number): LogitRow {
  const given = row.full!;
  // [vocabSize] -Infinity: never drawn
  const full = new Float32Array(given.length).fill(Number.NEGATIVE_INFINITY);
  for (const id of allowed) full[id] = given[id];
  const ids = Int32Array.from(allowed).sort((a, b) => given[b] - given[a] || a - b);
  const logits = Float32Array.from(ids, (id) => given[id]);
  return {
    ids,
    logits,
    logSumExp: logSumExp(logits, temperature || 1),
    logSumExp1: logSumExp(logits, 1),
    full,
  };
}

/** @param logits [n] descending */
function logSumExp(logits: Float32Array, temperature: number): number {
  const largest = logits[0] / temperature;
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit / temperature - largest);
  return largest + Math.log(sum);
}

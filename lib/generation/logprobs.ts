/**
 * Log-probabilities of the model's own distribution: temperature 1, before bias, penalties and filters, so that they
 * mean the same whatever the options are.
 */
import { LargestFinder } from './largest.js';
import type { LogitRow } from './sampling-options.js';

export interface TokenLogprob {
  id: number;
  /** Text of this token by itself. */
  text: string;
  /** Natural logarithm. */
  logprob: number;
}

/** One generated token with the most probable alternatives, the most probable first. */
export interface GeneratedLogprob extends TokenLogprob {
  top: TokenLogprob[];
}

/** Whether `top` alternatives need more than native's candidates. */
export function logprobsNeedFullRow(top: number, candidates: number, vocabSize: number): boolean {
  return top > candidates && candidates < vocabSize;
}

export function describeLogprobs(
  row: LogitRow,
  token: number,
  top: number,
  textOf: (id: number) => string,
): GeneratedLogprob {
  const entry = (id: number, logit: number) => ({ id, text: textOf(id), logprob: logit - row.logSumExp1 });
  return {
    ...entry(token, logitOf(row, token)),
    top: largest(row, top).map(([id, value]) => entry(id, value)),
  };
}

/** Natural logarithm. */
export function logprobOf(row: LogitRow, token: number): number {
  return logitOf(row, token) - row.logSumExp1;
}

function logitOf(row: LogitRow, token: number): number {
  const place = row.ids.indexOf(token);
  return place >= 0 ? row.logits[place] : (row.full?.[token] ?? Number.NaN);
}

function largest(row: LogitRow, top: number): [number, number][] {
  if (top <= row.ids.length || !row.full) {
    return Array.from(row.ids.subarray(0, top), (id, i) => [id, row.logits[i]]);
  }
  const full = row.full;
  const ids = new Int32Array(Math.min(top, full.length));
  new LargestFinder(full.length).find(full, full.length, ids.length, ids);
  return Array.from(ids, (id) => [id, full[id]]);
}

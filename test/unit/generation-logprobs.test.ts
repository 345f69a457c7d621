import { expect, it } from 'vitest';
import { describeLogprobs, logprobsNeedFullRow } from '../../lib/generation/logprobs.js';

const textOf = (id: number) => `<${id}>`;

/** A row of native that brings `candidates` of these logits. */
function rowOf(full: Float32Array, candidates: number) {
  const ids = Array.from(full.keys()).sort((a, b) => full[b] - full[a] || a - b);
  const sum = full.reduce((total, logit) => total + Math.exp(logit), 0);
  return {
    ids: Int32Array.from(ids.slice(0, candidates)),
    logits: Float32Array.from(ids.slice(0, candidates), (id) => full[id]),
    logSumExp: 1234,
    logSumExp1: Math.log(sum),
    full,
  };
}

it('log-probabilities sum to one over the vocabulary and name token and text', () => {
  const full = Float32Array.from({ length: 50 }, (_, i) => Math.sin(i * 1.7) * 3);
  const { id, text, logprob, top } = describeLogprobs(rowOf(full, 10), 7, 50, textOf);
  expect(id).toBe(7);
  expect(text).toBe('<7>');
  expect(top).toHaveLength(50);
  expect(top.reduce((sum, entry) => sum + Math.exp(entry.logprob), 0)).toBeCloseTo(1, 10);
  expect(top.find((entry) => entry.id === 7)?.logprob).toBe(logprob);
  for (let i = 1; i < 50; i++) expect(top[i].logprob).toBeLessThanOrEqual(top[i - 1].logprob);
});

it('a token outside the candidates is read from the full row', () => {
  const full = Float32Array.from([5, 4, 3, 2, 1, 0]);
  const row = rowOf(full, 2);
  expect(describeLogprobs(row, 5, 1, textOf).logprob).toBeCloseTo(-row.logSumExp1, 12);
  expect(describeLogprobs(row, 5, 0, textOf).top).toEqual([]);
});

it('the full row is needed only beyond the candidates', () => {
  expect(logprobsNeedFullRow(256, 256, 1000)).toBe(false);
  expect(logprobsNeedFullRow(257, 256, 1000)).toBe(true);
  expect(logprobsNeedFullRow(257, 200, 200)).toBe(false);
});

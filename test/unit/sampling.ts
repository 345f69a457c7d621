/** Rows of logits, histories and the test of frequencies, for the tests of samplers. */
import { expect } from 'vitest';
import { Random } from '../../lib/generation/random.js';
import { Sampler, SamplerBuffers, type SamplerVocabulary } from '../../lib/generation/sampler.js';
import type { LogitRow, SamplingOptions } from '../../lib/generation/sampling-options.js';
import type { GenerateOptions } from '../../lib/options.js';

export const CANDIDATES = 256;

export const neutral: SamplingOptions = {
  temperature: 1,
  topK: 0,
  topP: 1,
  minP: 0,
  typicalP: 1,
  repetitionPenalty: 1,
  presencePenalty: 0,
  frequencyPenalty: 0,
  logitBias: {},
  seed: 1,
};

/** Normally distributed logits, so that some tokens lead and a long tail follows. */
export function randomLogits(n: number, seed: number, scale = 2): Float32Array {
  const random = new Random(seed);
  const logits = new Float32Array(n);
  for (let i = 0; i < n; i++) {
    const radius = Math.sqrt(-2 * Math.log(1 - random.uniform()));
    logits[i] = scale * radius * Math.cos(2 * Math.PI * random.uniform());
  }
  return logits;
}

export function logSumExp(values: ArrayLike<number>, temperature: number): number {
  const scaled = Array.from(values, (v) => v / temperature);
  const max = scaled.reduce((a, b) => Math.max(a, b));
  return max + Math.log(scaled.reduce((sum, v) => sum + Math.exp(v - max), 0));
}

/** What native hands over for these logits. */
export function rowOf(logits: Float32Array, temperature: number, withFull = true): LogitRow {
  const ids = Array.from(logits.keys())
    .sort((a, b) => logits[b] - logits[a] || a - b)
    .slice(0, CANDIDATES);
  return {
    ids: Int32Array.from(ids),
    logits: Float32Array.from(ids, (id) => logits[id]),
    logSumExp: logSumExp(logits, temperature || 1),
    logSumExp1: logSumExp(logits, 1),
    full: withFull ? logits : null,
  };
}

export interface History {
  prompt: number[];
  generated: number[];
}

/** Draws `n` tokens of the same row by one sampler per draw, so that no penalty history builds up. */
export function drawMany(
  logits: Float32Array,
  options: SamplingOptions,
  history: History,
  n: number,
): number[] {
  const buffers = new SamplerBuffers(logits.length);
  const row = rowOf(logits, options.temperature);
  const forced = history.generated.map((token) => ({ token, row: rowOf(certain(token, logits.length), 1) }));
  return Array.from({ length: n }, (_, seed) => {
    const sampler = new Sampler({ ...options, seed: options.seed * 1_000_003 + seed }, buffers);
    sampler.acceptPrompt(Int32Array.from(history.prompt));
    for (const step of forced) if (sampler.sample(step.row) !== step.token) throw new Error('not forced');
    return sampler.sample(sampler.needsFullRow(CANDIDATES) ? row : { ...row, full: null });
  });
}

/** Logits that give one token all the probability. */
export function certain(token: number, vocabSize: number): Float32Array {
  const logits = new Float32Array(vocabSize).fill(-1e9);
  logits[token] = 1e9;
  return logits;
}

/**
 * Pearson's statistic over cells with at least 5 expected draws, the others as one cell. A normal approximation of the
 * chi-square distribution at 5 standard deviations: one false alarm in 3 million, and the seeds are fixed.
 */
export function expectFrequencies(draws: number[], expected: Map<number, number>): void {
  const impossible = draws.filter((token) => !expected.has(token));
  expect(impossible, 'tokens that cannot be drawn').toEqual([]);
  const counts = new Map<number, number>();
  for (const token of draws) counts.set(token, (counts.get(token) ?? 0) + 1);
  let statistic = 0;
  let cells = 0;
  let rest = { expected: 0, drawn: 0 };
  for (const [id, probability] of expected) {
    const mean = probability * draws.length;
    const drawn = counts.get(id) ?? 0;
    if (mean < 5) {
      rest = { expected: rest.expected + mean, drawn: rest.drawn + drawn };
      continue;
    }
    statistic += (drawn - mean) ** 2 / mean;
    cells++;
  }
  if (rest.expected >= 5) {
    statistic += (rest.drawn - rest.expected) ** 2 / rest.expected;
    cells++;
  }
  const freedom = cells - 1;
  expect(statistic).toBeLessThan(freedom + 5 * Math.sqrt(2 * freedom) + 10);
}

/** Every token is a word of its own; 10 and 11 hold breakers, 12 and 13 spell one together. */
export const words: Record<number, string> = { 10: ' a\n', 11: ':', 12: 'EN', 13: 'D.', 14: 'D', 15: 'X' };
export const vocabulary: SamplerVocabulary = {
  endTokens: new Set([3]),
  bytesOf: (id) => Buffer.from(words[id] ?? ` w${id}`),
};

/** A sampler that has seen these tokens. */
export function samplerOf(
  sampling: SamplingOptions,
  { prompt = [], output = [] }: { prompt?: number[]; output?: number[] },
  buffers: SamplerBuffers,
): Sampler {
  const { chain } = sampling;
  if (chain) chain.badSequences = chain.badWords as Int32Array[];
  const sampler = new Sampler(sampling, buffers, vocabulary);
  sampler.acceptPrompt(Int32Array.from(prompt));
  for (const token of output) sampler.accept(token);
  return sampler;
}

/** What DRY takes, by its definition: for each place, how far the tokens before it repeat those at the end. */
export function dryTakes(tokens: number[], options: GenerateOptions): Map<number, number> {
  const { dryMultiplier = 0, dryBase = 1.75, dryAllowedLength = 2, dryPenaltyLastN = -1 } = options;
  const breakers = options.drySequenceBreakers ?? ['\n', ':', '"', '*'];
  const window = dryPenaltyLastN < 0 ? tokens : tokens.slice(Math.max(0, tokens.length - dryPenaltyLastN));
  // The fewest last tokens whose text, with all before it, has a breaker that ends before them.
  const textOf = (ids: number[]) => ids.map((id) => words[id] ?? ` w${id}`).join('');
  let limit = window.length;
  for (let after = 0; after < tokens.length; after++) {
    const upTo = textOf(tokens.slice(0, tokens.length - after));
    const before = textOf(tokens.slice(0, tokens.length - after - 1));
    if (
      breakers.some(
        (breaker) => upTo.lastIndexOf(breaker) + breaker.length > before.length && upTo.includes(breaker),
      )
    ) {
      limit = Math.min(limit, after);
      break;
    }
  }
  const takes = new Map<number, number>();
  for (let place = 0; place < window.length; place++) {
    let length = 0;
    while (length < place && window[place - 1 - length] === window[window.length - 1 - length]) length++;
    length = Math.min(length, limit);
    if (place === 0 || length < dryAllowedLength) continue;
    const amount = dryMultiplier * dryBase ** (length - dryAllowedLength);
    takes.set(window[place], Math.max(amount, takes.get(window[place]) ?? 0));
  }
  return takes;
}

import { describe, expect, it } from 'vitest';
import { LargestFinder } from '../../lib/generation/largest.js';
import { Random } from '../../lib/generation/random.js';
import { Sampler, SamplerBuffers } from '../../lib/generation/sampler.js';
import type { SamplingOptions } from '../../lib/generation/sampling-options.js';
import { amount } from '../nightly.js';
import {
  CANDIDATES,
  drawMany,
  expectFrequencies,
  type History,
  neutral,
  randomLogits,
  rowOf,
} from './sampling.js';

/** Every stage written naively in float64 over the whole vocabulary: the probability of each token. */
function oracle(logits: Float32Array, options: SamplingOptions, history: History): Map<number, number> {
  const values = Array.from(logits, (logit, id) => {
    let v = logit + (options.logitBias[id] ?? 0);
    const all = [...history.prompt, ...history.generated];
    if (all.includes(id)) v = v > 0 ? v / options.repetitionPenalty : v * options.repetitionPenalty;
    const count = history.generated.filter((g) => g === id).length;
    if (count > 0) v -= options.presencePenalty + options.frequencyPenalty * count;
    return { id, logit: Math.fround(v) };
  });
  values.sort((a, b) => b.logit - a.logit || a.id - b.id);
  if (options.temperature === 0) return new Map([[values[0].id, 1]]);
  const max = values[0].logit;
  let kept = values.map(({ id, logit }) => ({ id, weight: Math.exp((logit - max) / options.temperature) }));
  if (options.topK > 0) kept = kept.slice(0, options.topK);
  const prefixOfMass = (list: typeof kept, mass: number) => {
    const total = list.reduce((sum, { weight }) => sum + weight, 0);
    let sum = 0;
    const cut = list.findIndex(({ weight }) => {
      sum += weight;
      return sum >= mass * total;
    });
    return cut < 0 ? list : list.slice(0, cut + 1);
  };
  if (options.topP < 1) kept = prefixOfMass(kept, options.topP);
  if (options.minP > 0) kept = kept.filter(({ weight }) => weight >= options.minP * kept[0].weight);
  if (options.typicalP < 1) {
    const total = kept.reduce((sum, { weight }) => sum + weight, 0);
    const surprise = (w: number) => -Math.log(w / total);
    const entropy = kept.reduce((sum, { weight }) => sum + (weight / total) * surprise(weight), 0);
    const distance = (w: number) => Math.abs(surprise(w) - entropy);
    kept = prefixOfMass(
      [...kept].sort((a, b) => distance(a.weight) - distance(b.weight)),
      options.typicalP,
    );
  }
  const total = kept.reduce((sum, { weight }) => sum + weight, 0);
  return new Map(kept.map(({ id, weight }) => [id, weight / total]));
}

const nothing: History = { prompt: [], generated: [] };

/** Each stage alone, with a history where it needs one, and stages together. */
const stages: [string, Partial<SamplingOptions>, History?][] = [
  ['temperature below 1', { temperature: 0.4 }],
  ['temperature above 1', { temperature: 1.7 }],
  ['top-k', { topK: 7 }],
  ['top-k beyond the candidates', { topK: 400, temperature: 3 }],
  ['top-p that the candidates cover', { topP: 0.5 }],
  ['top-p that they do not cover', { topP: 0.9, temperature: 4 }],
  ['min-p that the candidates cover', { minP: 0.2 }],
  ['min-p that they do not cover', { minP: 0.2, temperature: 6 }],
  ['top-p beyond the candidates with min-p inside', { topP: 0.999, minP: 0.1, temperature: 1.5 }],
  ['typical-p', { typicalP: 0.3 }],
  ['typical-p after top-k', { typicalP: 0.5, topK: 20 }],
  [
    'repetition penalty',
    { repetitionPenalty: 1.8, temperature: 0.7 },
    { prompt: [3, 11, 29], generated: [40, 3] },
  ],
  ['presence penalty', { presencePenalty: 1.9, temperature: 0.7 }, { prompt: [], generated: [3, 11, 29] }],
  ['frequency penalty', { frequencyPenalty: 0.9, topK: 30 }, { prompt: [], generated: [3, 3, 3, 11, 11] }],
  ['logit bias', { logitBias: { 5: 8, 700: 7.5, 11: -60 }, topP: 0.95 }],
  [
    'everything',
    {
      temperature: 0.9,
      topK: 50,
      topP: 0.93,
      minP: 0.01,
      typicalP: 0.9,
      repetitionPenalty: 1.2,
      presencePenalty: 0.4,
      frequencyPenalty: 0.2,
      logitBias: { 5: 6, 9: 6.2 },
    },
    { prompt: [5, 6, 7], generated: [9, 9, 12] },
  ],
];

const nDraws = amount(1500, 4000);

describe('sampler stages against a float64 oracle', () => {
  for (const [name, change, history] of stages) {
    it(`${name}: frequencies over ${nDraws} draws`, () => {
      const logits = randomLogits(1500, 77);
      // The history's tokens lead, so that a penalty that is left out shows.
      if (history) for (const token of [3, 11, 29, 40]) logits[token] += 7;
      const options = { ...neutral, ...change };
      const expected = oracle(logits, options, history ?? nothing);
      const draws = drawMany(logits, options, history ?? nothing, nDraws);
      expectFrequencies(draws, expected);
      // The same draws must refute the distribution without the stage, else this case could not fail.
      const without = oracle(logits, neutral, nothing);
      expect(() => expectFrequencies(draws, without)).toThrow();
    });
  }

  it('no stage at all draws from the whole vocabulary', () => {
    const logits = randomLogits(1500, 5, 0.5);
    const draws = drawMany(logits, neutral, nothing, 6000);
    const leaders = new Set(rowOf(logits, 1).ids);
    expect(draws.filter((token) => !leaders.has(token)).length).toBeGreaterThan(2000);
    expectFrequencies(draws, oracle(logits, neutral, nothing));
  });

  it('a vocabulary smaller than the candidates', () => {
    const logits = randomLogits(30, 6);
    const options = { ...neutral, topP: 0.8, logitBias: { 3: 2 } };
    expectFrequencies(drawMany(logits, options, nothing, 3000), oracle(logits, options, nothing));
  });

  it('penalties that take away nearly all of the mass', () => {
    const logits = randomLogits(1500, 8, 0.3);
    logits[10] = 60;
    const options = { ...neutral, logitBias: { 10: -100 }, topP: 0.4 };
    expectFrequencies(drawMany(logits, options, nothing, 6000), oracle(logits, options, nothing));
  });

  it('equal logits at the lowest candidate keep the order of ids under penalties', () => {
    const logits = new Float32Array(1000);
    logits[3] = 5;
    const options = { ...neutral, logitBias: { 3: -5 }, topK: 4 };
    expectFrequencies(drawMany(logits, options, nothing, 400), oracle(logits, options, nothing));
  });

  it('penalties that reorder every candidate', () => {
    const logits = randomLogits(1500, 9);
    const leaders = Array.from(rowOf(logits, 1).ids);
    const options = { ...neutral, logitBias: Object.fromEntries(leaders.map((id) => [id, -50])), topK: 10 };
    expectFrequencies(drawMany(logits, options, nothing, 3000), oracle(logits, options, nothing));
  });
});

describe('greedy', () => {
  it('takes the largest logit, the lowest id among equals', () => {
    const logits = new Float32Array(600).fill(-1);
    logits[500] = 3;
    logits[77] = 3;
    const sampler = new Sampler({ ...neutral, temperature: 0 }, new SamplerBuffers(600));
    expect(sampler.needsFullRow(CANDIDATES)).toBe(false);
    expect(sampler.sample(rowOf(logits, 0, false))).toBe(77);
  });

  it('takes the largest after penalties', () => {
    const logits = randomLogits(1500, 10);
    const [first, second] = rowOf(logits, 0).ids;
    const sampler = new Sampler(
      { ...neutral, temperature: 0, logitBias: { [first]: -20 } },
      new SamplerBuffers(1500),
    );
    expect(sampler.needsFullRow(CANDIDATES)).toBe(true);
    expect(sampler.sample(rowOf(logits, 0))).toBe(second);
  });

  it('works when every candidate is penalized', () => {
    const logits = randomLogits(1500, 11);
    const order = Array.from(logits.keys()).sort((a, b) => logits[b] - logits[a]);
    const bias = Object.fromEntries(order.slice(0, 256).map((id) => [id, -100]));
    const sampler = new Sampler({ ...neutral, temperature: 0, logitBias: bias }, new SamplerBuffers(1500));
    expect(sampler.sample(rowOf(logits, 0))).toBe(order[256]);
  });
});

describe('sampler rows and seeds', () => {
  it('asks for full rows only where the candidates may not do', () => {
    const buffers = new SamplerBuffers(1000);
    const needs = (change: Partial<SamplingOptions>) =>
      new Sampler({ ...neutral, ...change }, buffers).needsFullRow(CANDIDATES);
    expect(needs({ temperature: 0 })).toBe(false);
    expect(needs({ topK: 40, topP: 0.9, minP: 0.1, typicalP: 0.9 })).toBe(false);
    expect(needs({ topK: 256 })).toBe(false);
    expect(needs({ topK: 257 })).toBe(true);
    expect(needs({ topP: 0.9 })).toBe(true);
    expect(needs({ topK: 40, repetitionPenalty: 1.1 })).toBe(true);
    expect(needs({ topK: 40, logitBias: { 1: 1 } })).toBe(true);
    expect(new Sampler(neutral, new SamplerBuffers(200)).needsFullRow(200)).toBe(false);
  });

  it('a seed gives the same tokens, another seed others', () => {
    const logits = randomLogits(1500, 12);
    const draw = (seed: number) => {
      const sampler = new Sampler({ ...neutral, seed }, new SamplerBuffers(1500));
      return Array.from({ length: 50 }, () => sampler.sample(rowOf(logits, 1)));
    };
    expect(draw(3)).toEqual(draw(3));
    expect(draw(3)).not.toEqual(draw(4));
    expect(draw(3)).not.toEqual(draw(3 + 2 ** 32));
  });

  it('says when the logits are no numbers', () => {
    const row = rowOf(randomLogits(300, 13), 1);
    row.logits[0] = Number.NaN;
    const sampler = new Sampler({ ...neutral, topK: 5 }, new SamplerBuffers(300));
    const damaged = { code: 'MODEL_FORMAT', message: expect.stringMatching(/weights may be damaged/) };
    expect(() => sampler.sample(row)).toThrow(expect.objectContaining(damaged));
  });
});

describe('building blocks', () => {
  it('finds the largest values at any size, ties and signs included', () => {
    for (const n of [1, 2, 1023, 1024, 1025, 5000]) {
      const values = randomLogits(n, n).map((v) => Math.round(v * 4) / 4);
      values[0] = -0;
      const expected = Array.from(values.keys()).sort((a, b) => values[b] - values[a] || a - b);
      const out = new Int32Array(n);
      for (const m of [1, 3, 256, 2000, n]) {
        const found = new LargestFinder(n).find(values, n, m, out);
        expect(found).toBe(Math.min(m, n));
        expect(Array.from(out.subarray(0, found))).toEqual(expected.slice(0, m));
      }
    }
  });

  it('sorts pairs in place', () => {
    const values = Float32Array.from([1, -2.5, 3, 1, 0, -1e-40]);
    const ids = Int32Array.from([9, 8, 7, 2, 1, 0]);
    new LargestFinder(6).sortPairs(values, ids, 6);
    expect(Array.from(ids)).toEqual([7, 2, 9, 1, 0, 8]);
    expect(Array.from(values)).toEqual([3, 1, 1, 0, Math.fround(-1e-40), -2.5]);
  });

  it('uniform numbers fill [0, 1) evenly', () => {
    const random = new Random(99);
    const bins = new Array(64).fill(0);
    for (let i = 0; i < 64_000; i++) bins[Math.floor(random.uniform() * 64)]++;
    const statistic = bins.reduce((sum, count) => sum + (count - 1000) ** 2 / 1000, 0);
    expect(statistic).toBeLessThan(63 + 5 * Math.sqrt(126));
  });
});

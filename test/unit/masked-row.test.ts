/** Sampling from the allowed tokens: the tokens of a row of which the others have no probability at all. */
import { describe, expect, it } from 'vitest';
import { LargestFinder } from '../../lib/generation/largest.js';
import { Sampler, SamplerBuffers } from '../../lib/generation/sampler.js';
import type { LogitRow, SamplingOptions } from '../../lib/generation/sampling-options.js';
import { neutral } from './sampling.js';
import { seeded } from './structure-grammar.js';

const size = 3000;

/** A row as native gives it, of at most `most` candidates. */
function rowOf(full: Float32Array, temperature: number, most: number): LogitRow {
  const ids = new Int32Array(Math.min(most, size));
  new LargestFinder(size).find(full, size, ids.length, ids);
  const sum = (t: number) => Math.log(full.reduce((total, logit) => total + Math.exp(logit / t), 0));
  const logits = Float32Array.from(ids, (id) => full[id]);
  return { ids, logits, logSumExp: sum(temperature || 1), logSumExp1: sum(1), full };
}

describe.each([1, 7, 300, 1500, 2990])('of %i allowed tokens', (allowed) => {
  it.each<[string, Partial<SamplingOptions>]>([
    ['greedy', { temperature: 0 }],
    ['all', {}],
    ['hot', { temperature: 3 }],
    ['top-k', { topK: 40 }],
    ['top-p', { topP: 0.6 }],
    ['min-p', { minP: 0.1 }],
    ['typical', { typicalP: 0.5 }],
    ['penalties', { repetitionPenalty: 1.2, presencePenalty: 0.5, logitBias: { 3: 20, 4: -20 } }],
  ])('%s draws what a row without the others draws', (_, given) => {
    const random = seeded(allowed);
    const options = { ...neutral, ...given };
    const buffers = new SamplerBuffers(size);
    const one = new Sampler(options, buffers);
    const other = new Sampler(options, new SamplerBuffers(size));
    for (let step = 0; step < 4; step++) {
      const full = Float32Array.from({ length: size }, () => 8 * random() ** 2);
      const bits = new Uint32Array(Math.ceil(size / 32));
      const order = Array.from({ length: size }, (__, id) => [random(), id]).sort((a, b) => a[0] - b[0]);
      for (const [, id] of order.slice(0, allowed)) bits[id >>> 5] |= 1 << (id & 31);
      const without = full.map((logit, id) =>
        (bits[id >>> 5] >>> (id & 31)) & 1 ? logit : Number.NEGATIVE_INFINITY,
      );
      const masked = buffers.masked.row(
        rowOf(full, options.temperature, 256),
        { bits, allowed },
        options.temperature,
      );
      const expected = {
        ...rowOf(without, options.temperature, masked.ids.length),
        complete: masked.complete,
      };
      expect(masked.ids).toEqual(expected.ids);
      expect(masked.logSumExp).toBeCloseTo(expected.logSumExp, 6);
      expect(masked.full?.every((logit, id) => logit === without[id])).toBe(true);
      const token = one.sample(masked);
      expect(token).toBe(other.sample(expected));
      expect((bits[token >>> 5] >>> (token & 31)) & 1).toBe(1);
    }
  });
});

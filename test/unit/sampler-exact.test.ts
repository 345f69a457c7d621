/** What single samplers take and weigh, number by number. */
import { describe, expect, it } from 'vitest';
import { Dry } from '../../lib/generation/dry.js';
import { temperByEntropy } from '../../lib/generation/entropy.js';
import { Random } from '../../lib/generation/random.js';
import { SamplerBuffers } from '../../lib/generation/sampler.js';
import { type GenerateOptions, parseGenerateOptions } from '../../lib/options.js';
import { dryTakes, randomLogits, rowOf, vocabulary } from './sampling.js';

describe('single samplers, exactly', () => {
  it('DRY takes what its definition takes, after random histories', () => {
    const random = new Random(5);
    const below = (n: number) => Math.floor(random.uniform() * n);
    let deep = 0;
    for (let round = 0; round < 300; round++) {
      // Few different tokens, breakers among them.
      const tokens = Array.from(
        { length: 1 + below(40) },
        () => [41, 42, 43, 12, 13, 10, 14, 15][below(round % 2 ? 2 : 8)],
      );
      const options: GenerateOptions = {
        dryMultiplier: 0.5,
        dryBase: 1.5,
        dryAllowedLength: 1 + below(3),
        dryPenaltyLastN: below(4) - 1 || 12,
        drySequenceBreakers: [['\n', 'END'], []][below(2)],
      };
      const { dry } = parseGenerateOptions(options, {}, 100).sampling.chain!;
      const taken = new Map<number, number>();
      const rule = new Dry(dry!, vocabulary.bytesOf);
      // Token by token: where the last breaker was is remembered.
      for (let length = 1; length <= tokens.length; length++) {
        taken.clear();
        rule.apply(Int32Array.from(tokens.slice(0, length)), 0, (id, amount) => taken.set(id, amount));
        const expected = dryTakes(tokens.slice(0, length), options);
        expect([...taken].sort(), `${tokens.slice(0, length)}`).toEqual([...expected].sort());
        deep += Number(Math.max(0, ...taken.values()) > 2);
      }
    }
    expect(deep).toBeGreaterThan(100);
  });

  it('the penalty of DRY stays finite', () => {
    const dry = { multiplier: 1, base: 100, allowedLength: 1, lastN: -1, breakers: [] };
    const taken: number[] = [];
    new Dry(dry, vocabulary.bytesOf).apply(new Int32Array(500).fill(7), 0, (_id, amount) =>
      taken.push(amount),
    );
    expect(taken).toHaveLength(1);
    expect(taken[0] / Math.exp(88.7228391)).toBeCloseTo(1, 9);
  });

  it('dynamic temperature weighs by the entropy of what is there', () => {
    const { list } = new SamplerBuffers(300);
    const logits = randomLogits(300, 8);
    list.load(rowOf(logits, 1), undefined, 1, 300);
    list.keepLargest(20);
    const before = Array.from(list.weights.subarray(0, 20));
    const total = before.reduce((a, b) => a + b, 0);
    const entropy = before.reduce((sum, weight) => sum - (weight / total) * Math.log(weight / total), 0);
    const temperature = 0.2 + 1.6 * (entropy / Math.log(20)) ** 3;
    expect(Math.abs(temperature - 1)).toBeGreaterThan(0.05);
    temperByEntropy(list, 0.2, 1.8, 3);
    before.forEach((weight, i) => {
      expect(list.weights[i]).toBeCloseTo(weight ** (1 / temperature), 9);
    });
  });
});

/** Rules on tokens equal transformers' processors, and ask for no more of a row than they need. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { Sampler, SamplerBuffers } from '../../lib/generation/sampler.js';
import { type GenerateOptions, parseGenerateOptions } from '../../lib/options.js';
import { CANDIDATES, rowOf, samplerOf, vocabulary } from './sampling.js';

interface Golden {
  vocabulary: number;
  ngrams: { history: number[]; size: number; forbidden: number[] }[];
  badWords: { history: number[]; words: number[][]; forbidden: number[] }[];
  leastTokens: { history: number[]; prompt: number; least: number; ends: number[]; forbidden: number[] }[];
}

describe("rules on tokens equal transformers' processors", () => {
  const golden = JSON.parse(readFileSync('test/fixtures/search/processors.json', 'utf8')) as Golden;

  /** The tokens of a row of equal logits that are never drawn: greedy takes the lowest that is left. */
  function forbidden(
    options: GenerateOptions,
    prompt: number[],
    output: number[],
    endTokens: number[],
  ): number[] {
    const size = golden.vocabulary;
    const buffers = new SamplerBuffers(size);
    const found: number[] = [];
    for (let id = 0; id < size; id++) {
      const { sampling } = parseGenerateOptions({ temperature: 0, ...options }, {}, size);
      if (sampling.chain) sampling.chain.badSequences = sampling.chain.badWords as Int32Array[];
      const sampler = new Sampler(sampling, buffers, { ...vocabulary, endTokens: new Set(endTokens) });
      sampler.acceptPrompt(Int32Array.from(prompt));
      for (const token of output) sampler.accept(token);
      const logits = new Float32Array(size);
      logits[id] = 1;
      if (sampler.sample(rowOf(logits, 0)) !== id) found.push(id);
    }
    return found;
  }

  it('no repeated n-grams', () => {
    const { ngrams } = golden;
    expect(ngrams.filter((one) => one.forbidden.length > 1).length).toBeGreaterThan(20);
    for (const one of ngrams)
      expect(forbidden({ noRepeatNgram: one.size }, one.history, [], [])).toEqual(one.forbidden);
  });

  it('bad words', () => {
    for (const one of golden.badWords)
      expect(forbidden({ badWords: one.words }, one.history, [], [])).toEqual(one.forbidden);
  });

  it('a least number of tokens', () => {
    for (const { history, prompt, least, ends, forbidden: expected } of golden.leastTokens) {
      const [before, output] = [history.slice(0, prompt), history.slice(prompt)];
      expect(forbidden({ minTokens: least }, before, output, ends)).toEqual(expected);
    }
  });
});

describe('rules and rows', () => {
  it('ask for full rows only where the candidates may not do', () => {
    const needs = (options: GenerateOptions) =>
      samplerOf(
        parseGenerateOptions({ temperature: 1, ...options }, {}, 1500).sampling,
        {},
        new SamplerBuffers(1000),
      ).needsFullRow(CANDIDATES);
    expect(needs({ temperature: 0, minTokens: 5 })).toBe(false);
    expect(needs({ temperature: 0, badWords: [[1], [2, 3]] })).toBe(false);
    expect(needs({ topK: 254, badWords: [[1], [2, 3]] })).toBe(false);
    expect(needs({ topK: 255, badWords: [[1], [2, 3]] })).toBe(true);
    expect(needs({ temperature: 0, badWords: Array.from({ length: 256 }, (_, i) => [i]) })).toBe(true);
    expect(needs({ temperature: 0, noRepeatNgram: 2 })).toBe(true);
    expect(needs({ temperature: 0, dryMultiplier: 1 })).toBe(true);
    expect(needs({ topK: 40, xtcProbability: 1 })).toBe(false);
    expect(needs({ topK: 40, topNSigma: 1 })).toBe(true);
    expect(needs({ topK: 40, topNSigma: 1, samplers: ['topK', 'topNSigma'] })).toBe(false);
    expect(needs({ topK: 40, dynatempRange: 0.5 })).toBe(true);
    expect(needs({ topK: 40, topP: 0.5, temperature: 2, samplers: ['topK', 'topP', 'temperature'] })).toBe(
      false,
    );
    expect(needs({ mirostat: 2 })).toBe(true);
  });

  it('every token forbidden is said', () => {
    const { sampling } = parseGenerateOptions({ badWords: [[0], [1]] }, {}, 2);
    const sampler = samplerOf(sampling, {}, new SamplerBuffers(2));
    expect(() => sampler.sample(rowOf(Float32Array.of(1, 2), 1))).toThrow(
      expect.objectContaining({
        code: 'INVALID_OPTION',
        message: expect.stringMatching(/Every token is forbidden/),
      }),
    );
  });

  it('rounding never ends at a token without weight', () => {
    const { list } = new SamplerBuffers(4);
    list.load(
      rowOf(Float32Array.of(1, Number.NEGATIVE_INFINITY, 2, Number.NEGATIVE_INFINITY), 1),
      undefined,
      1,
      4,
    );
    expect([list.n, list.lastPossible()]).toEqual([4, 0]);
  });

  it('a sequence that the whole history begins is forbidden', () => {
    const one = { prompt: [1, 2] };
    const { sampling } = parseGenerateOptions({ badWords: [[1, 2, 3]] }, {}, 5);
    const sampler = samplerOf(sampling, one, new SamplerBuffers(5));
    expect(sampler.sample(rowOf(Float32Array.of(0, 0, 0, 9, 5), 0))).toBe(4);
  });
});

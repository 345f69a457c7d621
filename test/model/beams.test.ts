/** Beam search in FP32 finds what `transformers` finds: all beams, token for token. */
import { describe, expect, it } from 'vitest';
import { Engine } from '../../lib/engine/engine.js';
import { launch } from '../../lib/engine/launch.js';
import { SamplerBuffers } from '../../lib/generation/sampler.js';
import { Model } from '../../lib/model.js';
import { type GenerateOptions, parseGenerateOptions } from '../../lib/options.js';
import { structures } from '../unit/structure-grammar.js';
import { fixtures, readGolden } from './golden.js';
import { describeAt, withModel } from './native-model.js';

interface Case
  extends Pick<GenerateOptions, 'lengthPenalty' | 'earlyStopping' | 'noRepeatNgram' | 'minTokens'> {
  prompt: number[];
  found: { tokens: number[]; ended: boolean; score: number }[];
}
interface Golden {
  beams: number;
  maxTokens: number;
  models: Record<string, { ends: number[]; cases: Case[] }>;
}

const { beams, maxTokens, models } = readGolden<Golden>('search/beams.json');

describe.each(Object.entries(models))('%s', (name, { ends, cases }) => {
  it('20 prompts, length penalties 0.5, 1 and 2, early stopping each way, and rules', async () => {
    expect(new Set(cases.map(({ prompt }) => prompt.join())).size).toBe(20);
    expect(cases.filter(({ found }) => found.some(({ ended }) => ended)).length).toBeGreaterThan(50);
    const described = await describeAt(fixtures + name);
    await withModel(described, { kvCapacity: 4096 }, async (model) => {
      const engine = new Engine(model, 128);
      const size = described.spec.vocabSize;
      const text = { textOf: String, bytesOf: () => new Uint8Array() };
      const generator = {
        engine,
        contextLength: 128,
        vocabulary: {
          ...text,
          size,
          endTokens: new Set(ends),
          createDecoder: () => ({ push: (id: number) => ` ${id}`, unseen: () => '', flush: () => '' }),
        },
        buffers: new SamplerBuffers(size),
        structures,
      };
      const results = await Promise.all(
        cases.map(({ prompt, found, ...options }) =>
          launch(generator, {
            settings: parseGenerateOptions({ beams, n: beams, maxTokens, ...options }, {}, size),
            cache: { reuse: true },
            encode: async () => Int32Array.from(prompt),
          }),
        ),
      );
      results.forEach(({ choices = [] }, i) => {
        const { found, ...one } = cases[i]!;
        const what = JSON.stringify(one);
        expect(
          choices.map(({ tokens, finishReason }) => [tokens, finishReason === 'stop']),
          what,
        ).toEqual(found.map(({ tokens, ended }) => [tokens, ended]));
        // Sums of up to 24 float32 log-probabilities on their side.
        choices.forEach(({ score }, k) => {
          expect(Math.abs(score! - found[k]!.score), what).toBeLessThan(1e-4);
        });
      });
    });
  });
});

describe('the public call', () => {
  it('several texts and beams on a model with a tokenizer', async () => {
    const model = await Model.load('stories-260k');
    try {
      const options = { maxTokens: 20, temperature: 0.9, seed: 4 };
      const [first, second] = await Promise.all(
        [4, 5].map((seed) => model.generate('Once', { ...options, seed })),
      );
      const { text, choices = [] } = await model.generate('Once', { ...options, n: 2 });
      expect([text, ...choices.map((one) => one.text)]).toEqual([first!.text, first!.text, second!.text]);
    } finally {
      await model.dispose();
    }
  });

  it('what beams find is more probable than what greedy decoding finds', async () => {
    const model = await Model.load('stories-260k');
    try {
      const gains = await Promise.all(
        ['Tom and', 'The big dog', 'It was'].map(async (prompt) => {
          const likelihood = async (tokens: number[]) => {
            const ids = Int32Array.from([...model.tokenizer.encode(prompt), ...tokens]);
            return (await model.score(ids)).logLikelihood;
          };
          const greedy = await model.generate(prompt, { maxTokens: 20 });
          const { tokens, choices = [] } = await model.generate(prompt, { maxTokens: 20, beams: 8 });
          expect(choices).toHaveLength(1);
          return (await likelihood(tokens)) - (await likelihood(greedy.tokens));
        }),
      );
      expect(Math.min(...gains)).toBeGreaterThanOrEqual(0);
      expect(Math.max(...gains)).toBeGreaterThan(0.5);
    } finally {
      await model.dispose();
    }
  });
});

/** A draft model: the text without it, from a model that may be better, worse or another kind. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type GenerationResult, Model } from '../../lib/index.js';
import { fixtures } from './golden.js';

const told = ({ text, tokens, finishReason, logprobs }: GenerationResult) => ({
  text,
  tokens,
  finishReason,
  logprobs,
});
const prompts = ['Once upon a time', 'The big dog', 'Tom and Lily were', 'It was a sunny day and'];

let model: Model;
let draft: Model;
beforeAll(async () => {
  model = await Model.load('stories-260k', { dtype: 'fp32', threads: 2 });
  draft = await Model.load('stories-260k', { dtype: 'int8', threads: 1 });
});
afterAll(async () => {
  await model?.dispose();
  await draft?.dispose();
});

describe('a draft model', () => {
  it('changes no text, alone and in a batch, greedy and sampled', async () => {
    for (const sampling of [
      { temperature: 0, logprobs: 2 },
      { temperature: 0.8, seed: 3, stop: ['.'] },
    ]) {
      const options = { maxTokens: 80, ...sampling };
      const plain = [];
      for (const prompt of prompts) plain.push(await model.generate(prompt, options));
      const alone = [];
      for (const prompt of prompts)
        alone.push(await model.generate(prompt, { ...options, speculate: { draft } }));
      const together = await Promise.all(
        prompts.map((prompt, i) =>
          model.generate(prompt, { ...options, speculate: i === 1 ? 'prompt' : { draft, tokens: 1 + i } }),
        ),
      );
      expect(alone.map(told)).toEqual(plain.map(told));
      expect(together.map(told)).toEqual(plain.map(told));
      for (const { timings } of alone) expect(timings.draftedTokens).toBeDefined();
    }
  });

  it('may be the model itself, and both may draft for each other', async () => {
    const [a, b, plainA, plainB] = await Promise.all([
      model.generate(prompts[0]!, { maxTokens: 60, speculate: { draft: model } }),
      draft.generate(prompts[0]!, { maxTokens: 60, speculate: { draft: model } }),
      model.generate(prompts[0]!, { maxTokens: 60 }),
      draft.generate(prompts[0]!, { maxTokens: 60 }),
    ]);
    expect([a, b].map(told)).toEqual([plainA, plainB].map(told));
    const crossing = await Promise.all(
      [...prompts, ...prompts].map((prompt, i) =>
        i % 2 === 0
          ? model.generate(prompt, { maxTokens: 40, speculate: { draft } })
          : draft.generate(prompt, { maxTokens: 40, speculate: { draft: model } }),
      ),
    );
    expect(crossing).toHaveLength(8);
  });

  it('with less context than the text has stops drafting, and one that is disposed of meanwhile is not missed', async () => {
    const short = await Model.load('stories-260k', { contextLength: 24, threads: 1 });
    const plain = await model.generate(prompts[0]!, { maxTokens: 60 });
    expect(told(await model.generate(prompts[0]!, { maxTokens: 60, speculate: { draft: short } }))).toEqual(
      told(plain),
    );
    const run = model.generate(prompts[0]!, { maxTokens: 60, speculate: { draft: short } });
    for await (const { tokens } of run) if (tokens.length > 0) break;
    await run;
    const other = model.generate(prompts[0]!, { maxTokens: 60, speculate: { draft: short } });
    await other[Symbol.asyncIterator]().next();
    await short.dispose();
    expect(told(await other)).toEqual(told(plain));
    await expect(model.generate('a', { speculate: { draft: short } })).rejects.toMatchObject({
      code: 'DISPOSED',
    });
  });

  it('is refused by name where it cannot be', async () => {
    const gpt2 = await Model.load(`${fixtures}tiny-gpt2`, { threads: 1 });
    const encoder = await Model.load(`${fixtures}encoders/bert`, { threads: 1 });
    const wrong: unknown[] = [
      { draft: gpt2 },
      { draft: encoder },
      { draft: { info: model.info } },
      { draft, tokens: 0 },
      { draft, tokens: 17 },
      { draft, more: 1 },
      { tokens: 3 },
      draft,
      true,
      'model',
    ];
    for (const speculate of wrong) {
      await expect(model.generate('a', { speculate: speculate as false })).rejects.toMatchObject({
        code: 'INVALID_OPTION',
        message: expect.stringContaining('speculate'),
      });
    }
    for (const options of [{ n: 2, temperature: 1 }, { bestOf: 2, temperature: 1 }, { beams: 2 }]) {
      await expect(model.generate('a', { speculate: { draft }, ...options })).rejects.toMatchObject({
        code: 'INVALID_OPTION',
        message: expect.stringContaining('speculate'),
      });
    }
    await expect(model.generate('a', { speculate: 'prompt', beams: 2 })).rejects.toMatchObject({
      code: 'INVALID_OPTION',
    });
    expect((await model.generate('a', { speculate: false, beams: 2, maxTokens: 3 })).tokens).toHaveLength(3);
    await gpt2.dispose();
    await encoder.dispose();
  });
});

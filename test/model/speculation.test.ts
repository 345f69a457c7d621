/** `speculate` through the public API: what comes with drafts is what comes without, and what cannot be is refused. */
import { rmSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type GenerateOptions, type GenerationResult, Model, type Prompt } from '../../lib/index.js';
import { createHandler, type Handler } from '../../lib/server/index.js';
import { fixtures } from './golden.js';
import { type Body, post, replyOf } from './served.js';
import { windowedFolder } from './windowed-folder.js';

const comparable = ({ timings: _, usage: { cachedTokens: __, ...usage }, ...rest }: GenerationResult) => ({
  ...rest,
  usage,
});

/** Drafts that were checked and right, over many runs that give the same with and without. */
class Comparison {
  drafted = 0;
  accepted = 0;

  async check(model: Model, prompt: Prompt, options: GenerateOptions): Promise<void> {
    const plain = await model.generate(prompt, options);
    const drafted = await model.generate(prompt, { speculate: 'prompt', ...options });
    expect(comparable(drafted), JSON.stringify(options)).toEqual(comparable(plain));
    this.drafted += drafted.timings.draftedTokens!;
    this.accepted += drafted.timings.acceptedTokens!;
  }

  /** Some were right and some were not: both ways were gone. */
  expectBoth(): void {
    expect(this.accepted).toBeGreaterThan(0);
    expect(this.drafted).toBeGreaterThan(this.accepted);
  }
}

const story = 'Lily had a red ball. She loved the red ball. One day the red ball rolled away. Lily had a red';
const stories = [
  story,
  'Once upon a time, there was a little cat. The little cat was sad. The little cat',
  'Tom said: "Look at the big dog!" Mom said: "Look at the big',
  'one two three four one two three four one two',
  'The sun was hot. The sun was big. The sun',
  'Ben and Sue went to the park. Ben and Sue saw a bird. Ben and',
];
const samplings: GenerateOptions[] = [
  { temperature: 0 },
  { temperature: 0, logprobs: 3, stop: ['park', 'the end'] },
  { temperature: 0.7, seed: 1, topP: 0.9 },
  { temperature: 1.1, seed: 2, topK: 40, repetitionPenalty: 1.2, logprobs: 0 },
  { temperature: 0.6, seed: 3, frequencyPenalty: 0.3, noRepeatNgram: 6 },
];

describe.each(['int8', 'fp32'] as const)('the embedded model in %s', (dtype) => {
  let model: Model;
  beforeAll(async () => {
    model = await Model.load('stories-260k', { dtype, threads: 2 });
  });
  afterAll(() => model?.dispose());

  it('many prompts, greedy and sampled', async () => {
    const comparison = new Comparison();
    for (const prompt of stories) {
      for (const sampling of samplings) {
        await comparison.check(model, prompt, { maxTokens: 120, ...sampling });
      }
    }
    comparison.expectBoth();
  });

  it('in batches, beside requests without drafts, each as alone', async () => {
    const runs = stories.map((prompt, i) => ({ prompt, options: { maxTokens: 100, ...samplings[i % 5] } }));
    const alone = [];
    for (const { prompt, options } of runs) alone.push(await model.generate(prompt, options));
    const together = await Promise.all(
      runs.map(({ prompt, options }, i) =>
        model.generate(prompt, { ...options, speculate: i % 3 === 2 ? false : 'prompt' }),
      ),
    );
    expect(together.map(comparable)).toEqual(alone.map(comparable));
  });

  it('several texts, structure, and a session that goes on', async () => {
    const comparison = new Comparison();
    await comparison.check(model, story, { maxTokens: 60, n: 3, temperature: 0.5, seed: 4 });
    await comparison.check(model, story, { maxTokens: 60, n: 1, bestOf: 3, temperature: 0.8, seed: 4 });
    const words = { type: 'array', items: { enum: ['ball', 'red ball', 'cat'] }, minItems: 6, maxItems: 9 };
    for (const temperature of [0, 0.8]) {
      await comparison.check(model, story, {
        maxTokens: 100,
        temperature,
        seed: 5,
        responseFormat: { type: 'json', schema: words },
      });
      await comparison.check(model, story, {
        maxTokens: 30,
        temperature,
        seed: 6,
        responseFormat: { type: 'regex', pattern: '(the (red|big) (ball|cat)(, | and ))+the end' },
      });
    }
    comparison.expectBoth();
    const first = await model.generate(story, { maxTokens: 40, speculate: 'prompt' });
    const next = Int32Array.of(
      ...model.tokenizer.encode(story),
      ...first.tokens,
      ...model.tokenizer.encode(' Lily'),
    );
    const again = await model.generate(next, { maxTokens: 20, speculate: 'prompt' });
    expect(again.usage.cachedTokens).toBeGreaterThan(first.usage.promptTokens + 30);
    expect(again.tokens).toEqual((await model.generate(next, { maxTokens: 20 })).tokens);
  });
});

describe('tiny models of other kinds', () => {
  const windowed = windowedFolder();
  afterAll(() => rmSync(windowed, { recursive: true }));

  const folders = [
    `${fixtures}tiny-llama`,
    `${fixtures}tiny-gpt2`,
    ...['mixtral', 'gemma2', 'olmo3', 'qwen3_moe', 'falcon'].map((family) => `${fixtures}families/${family}`),
  ];
  /** Seeded, and with repetitions. */
  const ids = (seed: number, count: number) =>
    Int32Array.from({ length: count }, (_, i) => 2 + ((seed + (i % 9) * 7 + (i % 13 === 0 ? i : 0)) % 60));

  it.each(folders)('%s', async (folder) => {
    const model = await Model.load(folder, { threads: 2, contextLength: 128 });
    try {
      const comparison = new Comparison();
      for (let seed = 0; seed < 4; seed++) {
        for (const sampling of [{ temperature: 0 }, { temperature: 0.5, seed }]) {
          const options = { maxTokens: 70, ignoreEos: true, logprobs: 2, ...sampling };
          await comparison.check(model, ids(seed, 40), options);
        }
      }
      expect(comparison.drafted).toBeGreaterThan(0);
    } finally {
      await model.dispose();
    }
  });

  it('layers with a window, across its pages', async () => {
    const model = await Model.load(windowed, { threads: 2, contextLength: 8192, kvCapacity: 8192 });
    try {
      const comparison = new Comparison();
      for (let seed = 0; seed < 2; seed++) {
        const sampling = { temperature: seed, seed, topK: 2 };
        const options = { maxTokens: 200, ignoreEos: true, logprobs: 1, ...sampling };
        await comparison.check(model, ids(seed, 900), options);
      }
      comparison.expectBoth();
    } finally {
      await model.dispose();
    }
  });

  it.each(['lfm2', 'qwen3_next'])('%s, whose state cannot go back, is refused by name', async (family) => {
    const model = await Model.load(`${fixtures}families/${family}`, { threads: 1, contextLength: 64 });
    try {
      await expect(model.generate(ids(1, 5), { speculate: 'prompt' })).rejects.toMatchObject({
        code: 'INVALID_OPTION',
        message: expect.stringContaining('speculate'),
      });
      expect((await model.generate(ids(1, 5), { speculate: false, maxTokens: 3 })).tokens).toHaveLength(3);
    } finally {
      await model.dispose();
    }
  });
});

it('the server drafts where it is told to, and answers the same', async () => {
  const model = await Model.load('stories-260k', { threads: 2 });
  const state = await Model.load(`${fixtures}families/lfm2`, { threads: 1, contextLength: 256 });
  try {
    const body = (name: string) => ({
      model: name,
      prompt: story,
      max_tokens: 40,
      temperature: 0.7,
      seed: 3,
    });
    const ask = async (handler: Handler, name: string, n = 2) => {
      const { status, body: answer } = await replyOf(post(handler, '/v1/completions', { ...body(name), n }));
      expect(status).toBe(200);
      return answer.choices.map(({ text }: Body) => text);
    };
    const plain = createHandler({ models: { model } });
    const expected = await ask(plain, 'model');
    const drafting = createHandler({ models: { model, state }, speculate: 'prompt' });
    expect(await ask(drafting, 'model')).toEqual(expected);
    // One that cannot goes without.
    expect(await ask(drafting, 'state')).toHaveLength(2);
    const other = createHandler({ models: [{ model, id: 'model', speculate: { draft: model } }] });
    expect(await ask(other, 'model')).toEqual(expected);
    expect(await ask(other, 'model', 1)).toEqual(expected.slice(0, 1));
    for (const speculate of ['model', { draft: model }, true]) {
      expect(() => createHandler({ models: model, speculate: speculate as false })).toThrow(
        expect.objectContaining({ code: 'INVALID_OPTION' }),
      );
    }
    for (const handler of [plain, drafting, other]) await handler.close();
  } finally {
    await model.dispose();
    await state.dispose();
  }
});

/** Adapters in the public API: several at once, in batches, sessions and caches; their lives, and what they take. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Adapter } from '../../lib/index.js';
import { Model } from '../../lib/model.js';
import type { GenerateOptions } from '../../lib/options.js';
import { fixtures } from './golden.js';

const base = `${fixtures}tiny-llama-variants/f32`;
const names = ['llama-qv', 'llama-qk', 'llama-all', 'llama-head'];
const prompts = Array.from({ length: 8 }, (_, i) =>
  Int32Array.from({ length: 5 + 9 * i }, (_, k) => 3 + ((17 * i + 29 * k + i * k) % 300)),
);
const greedy: GenerateOptions = { maxTokens: 24, temperature: 0, ignoreEos: true, logprobs: 3 };

async function open(dtype: 'fp32' | 'int8'): Promise<{ model: Model; adapters: Adapter[] }> {
  const model = await Model.load(base, { dtype, contextLength: 512, kvCapacity: 2048 });
  const adapters = await Promise.all(names.map((name) => model.loadAdapter(`${fixtures}adapters/${name}`)));
  return { model, adapters };
}

describe.each(['fp32', 'int8'] as const)('%s', (dtype) => {
  let one: Awaited<ReturnType<typeof open>>;
  let other: Awaited<ReturnType<typeof open>>;
  beforeAll(async () => {
    one = await open(dtype);
    other = await open(dtype);
  });
  afterAll(async () => {
    await one.model.dispose();
    await other.model.dispose();
  });

  it('8 requests with 4 adapters, or none, in one batch have the bits of each alone', async () => {
    const adapterOf = ({ adapters }: typeof one, i: number) => (i === 7 ? undefined : adapters[i % 4]);
    const together = await Promise.all(
      prompts.map((prompt, i) => one.model.generate(prompt, { ...greedy, adapter: adapterOf(one, i) })),
    );
    const texts = new Set<string>();
    for (const [i, prompt] of prompts.entries()) {
      const alone = await other.model.generate(prompt, { ...greedy, adapter: adapterOf(other, i) });
      expect(together[i]!.tokens).toEqual(alone.tokens);
      expect(together[i]!.logprobs).toEqual(alone.logprobs);
      texts.add(alone.tokens.join());
    }
    expect(texts.size).toBe(8);
  });

  it('prefixes of one adapter are never those of another one, nor of none', async () => {
    const { model, adapters } = one;
    const fresh = Int32Array.from({ length: 70 }, (_, k) => 3 + ((k * k + 5 * k) % 311));
    const run = async (adapter: Adapter | undefined) => model.generate(fresh, { ...greedy, adapter });
    const expected = [];
    for (const adapter of [undefined, ...other.adapters])
      expected.push(await other.model.generate(fresh, { ...greedy, adapter }));
    for (const again of [false, true]) {
      for (const [i, adapter] of [undefined, ...adapters].entries()) {
        const { tokens, logprobs, usage } = await run(adapter);
        expect(usage.cachedTokens > 0).toBe(again);
        expect(tokens).toEqual(expected[i]!.tokens);
        expect(logprobs).toEqual(expected[i]!.logprobs);
      }
    }
  });

  it('score, decide and embed go through it', async () => {
    const { model, adapters } = one;
    const [prompt] = prompts;
    const through = [undefined, adapters[0], adapters[2]];
    const scores = await Promise.all(through.map((adapter) => model.score(prompts[3]!, { adapter })));
    expect(new Set(scores.map(({ perplexity }) => perplexity)).size).toBe(3);
    const choices = await Promise.all(
      through.map((adapter) => model.decide(prompt!, { choices: ['a', 'b'], adapter })),
    );
    expect(new Set(choices.map(({ probabilities }) => probabilities.a)).size).toBe(3);
    const vectors = await Promise.all(through.map((adapter) => model.embed('abc', { adapter })));
    expect(new Set(vectors.map(([vector]) => vector![0])).size).toBe(3);
  });

  it('several texts and beams go through it', async () => {
    const { model, adapters } = one;
    const [adapter] = adapters;
    const options = { maxTokens: 12, adapter, ignoreEos: true };
    const many = await model.generate(prompts[2]!, { ...options, n: 3, seed: 7, temperature: 1 });
    for (const [i, { tokens }] of many.choices!.entries()) {
      const alone = await model.generate(prompts[2]!, { ...options, seed: 7 + i, temperature: 1 });
      expect(tokens).toEqual(alone.tokens);
    }
    const plain = await model.generate(prompts[2]!, { maxTokens: 12, ignoreEos: true, beams: 3 });
    const searched = await model.generate(prompts[2]!, { ...options, beams: 3 });
    expect(searched.tokens).not.toEqual(plain.tokens);
  });
});

describe('its life', () => {
  it('says what it is, and takes what was predicted', async () => {
    const { model, adapters } = await open('fp32');
    try {
      const { info } = adapters[2]!;
      expect(info).toMatchObject({ name: 'llama-all', format: 'peft', rank: 5, baseModel: 'llama-all' });
      expect(info.modules).toHaveLength(14);
      expect(info.modules).toContain('model.layers.1.mlp.down_proj');
      for (const { info: own } of adapters) {
        expect(own.memory.actual).toBe(own.memory.predicted);
        expect(own.memory.actual).toBeGreaterThan(own.parameters * 4);
      }
      expect(Object.isFrozen(info)).toBe(true);
    } finally {
      await model.dispose();
    }
  });

  it('dispose ends what goes through it, and nothing else', async () => {
    const { model, adapters } = await open('int8');
    try {
      const [gone, kept] = adapters;
      const expected = await model.generate(prompts[1]!, { ...greedy, adapter: kept, maxTokens: 200 });
      const running = model.generate(prompts[0]!, { ...greedy, adapter: gone, maxTokens: 400 });
      const beside = model.generate(prompts[1]!, { ...greedy, adapter: kept, maxTokens: 200 });
      await running[Symbol.asyncIterator]().next();
      await Promise.all([gone!.dispose(), gone!.dispose()]);
      await expect(running).rejects.toMatchObject({ code: 'DISPOSED' });
      expect((await beside).tokens).toEqual(expected.tokens);
      const later = model.generate(prompts[0]!, { ...greedy, adapter: gone });
      await expect(later).rejects.toMatchObject({ code: 'DISPOSED' });
      await expect(model.score(prompts[0]!, { adapter: gone })).rejects.toMatchObject({ code: 'DISPOSED' });
      const again = await model.loadAdapter(`${fixtures}adapters/${names[0]}`);
      await again.dispose();
    } finally {
      await model.dispose();
    }
    // With its model it is gone.
    await adapters[1]!.dispose();
  });

  it('an adapter is one of its own model', async () => {
    const [one, other] = await Promise.all([open('int8'), open('int8')]);
    try {
      const wrong = one.model.generate(prompts[0]!, { adapter: other.adapters[0] });
      await expect(wrong).rejects.toMatchObject({ code: 'INVALID_OPTION', details: { option: 'adapter' } });
      for (const none of [{}, 'llama-qv', Object.create(Object.getPrototypeOf(one.adapters[0]))]) {
        const adapter = none as Adapter;
        await expect(one.model.generate('a', { adapter })).rejects.toMatchObject({ code: 'INVALID_OPTION' });
      }
    } finally {
      await Promise.all([one.model.dispose(), other.model.dispose()]);
    }
  });
});

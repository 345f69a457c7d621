/** The engine over a fake native model whose sequences have states: how many run, what forks, and that nothing is reused. */
import { expect, it } from 'vitest';
import { DecideRequest } from '../../lib/engine/decide-request.js';
import { requestOf } from '../../lib/engine/launch.js';
import { GenerationRun } from '../../lib/engine/run.js';
import { SamplerBuffers } from '../../lib/generation/sampler.js';
import { parseGenerateOptions } from '../../lib/options.js';
import { type Bench, bench, bound, EOS, range, VOCAB, vocabulary } from './engine-bench.js';
import { fakeGreedy } from './engine-fake.js';

function samplesOf(made: Bench, prompt: number[], n: number) {
  const run = new GenerationRun();
  const request = requestOf({
    run,
    createdAt: 0,
    prompt: Int32Array.from(prompt),
    settings: parseGenerateOptions({ maxTokens: 12, temperature: 1, seed: 1, n }, {}, VOCAB),
    contextLength: made.contextLength,
    vocabulary: vocabulary(),
    buffers: new SamplerBuffers(VOCAB),
    cache: { reuse: false },
  });
  return { request, run };
}

it('as many sequences run as there are pairs of states, and all requests end', async () => {
  const { native, generate } = bound(bench({ stateSlots: 7 }));
  const prompts = Array.from({ length: 9 }, (_, i) => range(i + 1, 10 + 9 * i));
  const results = await Promise.all(prompts.map((prompt) => generate(prompt, { maxTokens: 20 })));
  results.forEach(({ tokens }, i) => {
    expect(tokens).toEqual(fakeGreedy(prompts[i]!, 20, VOCAB, EOS));
  });
  expect(Math.max(...native.steps.map(({ sequences }) => sequences.length))).toBe(3);
  expect(native.liveSequences).toBe(0);
});

it('no prefix is kept or reused: what a sequence holds ends where it ended', async () => {
  const { native, generate } = bound(bench({ stateSlots: 6 }));
  const prompt = range(1, 100);
  const owner = {};
  const first = await generate(prompt, { maxTokens: 10, owner });
  expect(native.liveSequences).toBe(0);
  const [second, beside] = await Promise.all([
    generate([...prompt, ...first.tokens], { maxTokens: 10, owner }),
    generate(prompt, { maxTokens: 10 }),
  ]);
  expect([second!.usage.cachedTokens, beside!.usage.cachedTokens]).toEqual([0, 0]);
  expect(beside!.tokens).toEqual(first.tokens);
  expect(native.liveSequences).toBe(0);
});

it('nor are checkpoints kept beside windows: a sequence with a state cannot be reused from its middle', async () => {
  const window = { window: 512, pages: 37, every: 256, checkpoints: 4 };
  const { native, generate } = bound(bench({ kvPageSize: 64, stateSlots: 6, window }));
  const prompt = range(1, 700);
  for (let i = 0; i < 2; i++) {
    const { tokens, usage } = await generate(prompt, { maxTokens: 10 });
    expect(tokens).toEqual(fakeGreedy(prompt, 10, VOCAB, EOS));
    expect(usage.cachedTokens).toBe(0);
    expect([native.liveSequences, native.windowPages]).toEqual([0, 0]);
  }
});

it('branches fork where their prompt ends, and more of them than there are states are refused', async () => {
  const made = bench({ stateSlots: 8 });
  const prompt = range(5, 600);
  const { request, run } = samplesOf(made, prompt, 4);
  made.engine.submit(request);
  const samples = (await run).choices;
  const plain = bench();
  const expected = samplesOf(plain, prompt, 4);
  plain.engine.submit(expected.request);
  expect(samples).toEqual((await expected.run).choices);
  expect(() => made.engine.submit(samplesOf(made, prompt, 5).request)).toThrow(
    expect.objectContaining({ code: 'INVALID_OPTION' }),
  );
});

it('answers fork where they part, though the first one is known beyond', async () => {
  const task = () => ({
    shared: Int32Array.from(range(3, 30)),
    answers: [range(1, 5), range(2, 1), range(9, 40)].map((ids) => Int32Array.from(ids)),
  });
  const asked = async (made: Bench) => {
    const request = new DecideRequest(task());
    made.engine.submit(request);
    return request.result;
  };
  expect(await asked(bench({ stateSlots: 6 }))).toEqual(await asked(bench()));
});

it('a request that nobody reads gives way, and begins again', async () => {
  const made = bench({ stateSlots: 2 });
  const idle = made.start(range(1, 10), { maxTokens: 1500 });
  const iterator = idle.run[Symbol.asyncIterator]();
  await iterator.next();
  const other = await made.generate(range(2, 10), { maxTokens: 5 });
  expect(other.tokens).toEqual(fakeGreedy(range(2, 10), 5, VOCAB, EOS));
  expect((await idle.run).tokens).toEqual(fakeGreedy(range(1, 10), 1500, VOCAB, EOS));
});

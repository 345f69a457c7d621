/** Several texts after one prompt, over the fake native model: those of as many requests, and the pages they share. */
import { expect, it } from 'vitest';
import { requestOf } from '../../lib/engine/launch.js';
import { GenerationRun } from '../../lib/engine/run.js';
import { SamplerBuffers } from '../../lib/generation/sampler.js';
import { type GenerateOptions, parseGenerateOptions } from '../../lib/options.js';
import { type Bench, bench, range, until, VOCAB, vocabulary } from './engine-bench.js';

const SEEDS = [3, 4, 5, 6, 7];

function samplesOf(made: Bench, prompt: number[], options: GenerateOptions, n = SEEDS.length) {
  const run = new GenerationRun();
  const request = requestOf({
    run,
    createdAt: 0,
    prompt: Int32Array.from(prompt),
    settings: parseGenerateOptions({ seed: SEEDS[0], n, ...options }, {}, VOCAB),
    contextLength: made.contextLength,
    vocabulary: vocabulary(),
    buffers: new SamplerBuffers(VOCAB),
    // What is kept would be a live sequence.
    cache: { reuse: false },
  });
  return { request, run };
}

it('n branches give the texts of n requests with the same seeds, beside neighbours', async () => {
  for (const length of [1, 16, 23, 64]) {
    for (const maxTokens of [1, 40]) {
      const prompt = range(5, length);
      const options = { maxTokens, temperature: 1.2, topP: 0.95, stop: [' 7 ', ' 12'] };
      const alone = await Promise.all(SEEDS.map((seed) => bench().generate(prompt, { ...options, seed })));
      const made = bench();
      const neighbour = made.generate(range(8, 90), { maxTokens: 30 });
      const { request, run } = samplesOf(made, prompt, options);
      made.engine.submit(request);
      const { choices: samples = [], ...first } = await run;
      expect(first).toMatchObject(samples[0]!);
      expect(samples).toEqual(
        alone.map(({ text, tokens, finishReason }) => ({ text, tokens, finishReason })),
      );
      if (maxTokens > 1) expect(new Set(samples.map(({ text }) => text)).size).toBe(SEEDS.length);
      await neighbour;
    }
  }
});

it('the prompt is computed once, and its whole pages are held once', async () => {
  const made = bench({ stepMs: 1 });
  const { request, run } = samplesOf(made, range(5, 100), { maxTokens: 20, temperature: 1 });
  made.engine.submit(request);
  let most = 0;
  await until(() => {
    most = Math.max(most, made.native.usedPages);
    return request.settled;
  });
  expect((await run).usage).toEqual({
    promptTokens: 100,
    completionTokens: 20 * SEEDS.length,
    cachedTokens: 0,
  });
  const tokens = made.native.steps.reduce((sum, { counts }) => sum + counts.reduce((a, b) => a + b), 0);
  expect(tokens).toBe(100 + SEEDS.length * 19);
  // Six whole pages of sixteen; 119 positions end in the eighth.
  expect(most).toBeLessThanOrEqual(6 + 2 * SEEDS.length);
});

it('waits until its pages are free, and one that can never run is refused', async () => {
  const made = bench({ kvCapacity: 16 * 16 });
  const first = made.generate(range(2, 30), { maxTokens: 100 });
  const { request, run } = samplesOf(made, range(5, 20), { maxTokens: 30, temperature: 1 });
  made.engine.submit(request);
  expect((await run).choices).toHaveLength(SEEDS.length);
  expect((await first).tokens).toHaveLength(100);
  expect(() => made.engine.submit(samplesOf(made, range(5, 20), { maxTokens: 60 }).request)).toThrow(
    expect.objectContaining({ code: 'CONTEXT_OVERFLOW' }),
  );
});

it('an abort gives what there is, an error ends all', async () => {
  const made = bench({ stepMs: 2 });
  const { request, run } = samplesOf(made, range(5, 10), { maxTokens: 500, temperature: 1 });
  made.engine.submit(request);
  await until(() => request.branches.every(({ length }) => length > 14));
  made.engine.cancel(request);
  const { choices: samples = [] } = await run;
  expect(samples).toHaveLength(SEEDS.length);
  for (const { finishReason, tokens } of samples) {
    expect(finishReason).toBe('abort');
    expect(tokens.length).toBeGreaterThan(3);
  }
  await until(() => made.native.liveSequences === 0);
  const failing = samplesOf(made, range(5, 10), { maxTokens: 20, temperature: 1 });
  made.native.failure = new Error('broken');
  made.engine.submit(failing.request);
  await expect(failing.run).rejects.toMatchObject({ code: 'INTERNAL', message: 'broken' });
  await until(() => made.native.liveSequences === 0);
});

it('the first text streams while the others are drawn, and what is left is aborted for all', async () => {
  const made = bench({ stepMs: 1 });
  const run = made.generate(range(5, 10), { maxTokens: 30, temperature: 1, seed: 3, n: 3 });
  let streamed = '';
  for await (const chunk of run) streamed += chunk.text;
  const { text, choices = [] } = await run;
  expect(streamed).toBe(text);
  expect(choices[0]!.text).toBe(text);
  const left = made.generate(range(5, 10), { maxTokens: 500, temperature: 1, n: 3 });
  for await (const _ of left) break;
  const { choices: cut = [] } = await left;
  expect(cut.map(({ finishReason }) => finishReason)).toEqual(['abort', 'abort', 'abort']);
});

it('the best of several come, by the mean log-probability of their tokens', async () => {
  const options = { maxTokens: 12, temperature: 2, seed: 20, stop: [' 7', ' 12'] };
  const made = bench();
  const all = await Promise.all(
    Array.from({ length: 6 }, (_, i) =>
      bench().generate(range(5, 10), { ...options, seed: 20 + i, logprobs: 0 }),
    ),
  );
  const scored = all.map(({ text, tokens, logprobs = [] }) => ({
    text,
    tokens,
    score: logprobs.reduce((sum, { logprob }) => sum + logprob, 0) / Math.max(1, tokens.length),
  }));
  const best = scored.toSorted((a, b) => b.score - a.score).slice(0, 2);
  expect(best[0]!.text).not.toBe(all[0]!.text);
  const run = made.generate(range(5, 10), { ...options, n: 2, bestOf: 6 });
  const tokens: number[] = [];
  let streamed = '';
  for await (const chunk of run) {
    streamed += chunk.text;
    tokens.push(...chunk.tokens);
  }
  const { text, choices = [], usage } = await run;
  expect([text, streamed, tokens]).toEqual([best[0]!.text, best[0]!.text, best[0]!.tokens]);
  expect(choices.map((one) => [one.text, one.tokens])).toEqual(best.map((one) => [one.text, one.tokens]));
  choices.forEach(({ score }, i) => {
    expect(score).toBeCloseTo(best[i]!.score, 9);
  });
  expect(usage.completionTokens).toBe(scored.reduce((sum, one) => sum + one.tokens.length, 0));
});

/** Several texts after one prompt, over the fake native model: those of as many requests, and the pages they share. */
import { expect, it } from 'vitest';
import { SamplesRequest } from '../../lib/engine/samples-request.js';
import { SamplerBuffers } from '../../lib/generation/sampler.js';
import { type GenerateOptions, parseGenerateOptions } from '../../lib/options.js';
import { type Bench, bench, range, until, VOCAB, vocabulary } from './engine-bench.js';

const SEEDS = [3, 1, 4, 15, 9];

function samplesOf(
  made: Bench,
  prompt: number[],
  options: GenerateOptions,
  seeds: readonly number[] = SEEDS,
) {
  return new SamplesRequest({
    prompt: Int32Array.from(prompt),
    settings: parseGenerateOptions(options, {}, VOCAB),
    contextLength: made.contextLength,
    vocabulary: vocabulary(),
    buffers: new SamplerBuffers(VOCAB),
    seeds,
    // What is kept would be a live sequence.
    cache: { reuse: false },
  });
}

it('n branches give the texts of n requests with the same seeds, beside neighbours', async () => {
  for (const length of [1, 16, 23, 64]) {
    for (const maxTokens of [1, 40]) {
      const prompt = range(5, length);
      const options = { maxTokens, temperature: 1.2, topP: 0.95, stop: [' 7 ', ' 12'] };
      const alone = await Promise.all(SEEDS.map((seed) => bench().generate(prompt, { ...options, seed })));
      const made = bench();
      const neighbour = made.generate(range(8, 90), { maxTokens: 30 });
      const request = samplesOf(made, prompt, options);
      made.engine.submit(request);
      const samples = await request.result;
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
  const request = samplesOf(made, range(5, 100), { maxTokens: 20, temperature: 1 });
  made.engine.submit(request);
  let most = 0;
  await until(() => {
    most = Math.max(most, made.native.usedPages);
    return request.settled;
  });
  await request.result;
  const tokens = made.native.steps.reduce((sum, { counts }) => sum + counts.reduce((a, b) => a + b), 0);
  expect(tokens).toBe(100 + SEEDS.length * 19);
  // Six whole pages of sixteen; 119 positions end in the eighth.
  expect(most).toBeLessThanOrEqual(6 + 2 * SEEDS.length);
});

it('waits until its pages are free, and one that can never run is refused', async () => {
  const made = bench({ kvCapacity: 16 * 16 });
  const first = made.generate(range(2, 30), { maxTokens: 100 });
  const request = samplesOf(made, range(5, 20), { maxTokens: 30, temperature: 1 });
  made.engine.submit(request);
  expect(await request.result).toHaveLength(SEEDS.length);
  expect((await first).tokens).toHaveLength(100);
  expect(() => made.engine.submit(samplesOf(made, range(5, 20), { maxTokens: 60 }))).toThrow(
    expect.objectContaining({ code: 'CONTEXT_OVERFLOW' }),
  );
  const many = Array.from({ length: 65 }, (_, i) => i);
  expect(() => bench().engine.submit(samplesOf(made, [1], { maxTokens: 1 }, many))).toThrow(
    expect.objectContaining({ code: 'INVALID_OPTION' }),
  );
});

it('an abort gives what there is, an error ends all', async () => {
  const made = bench({ stepMs: 2 });
  const request = samplesOf(made, range(5, 10), { maxTokens: 500, temperature: 1 });
  made.engine.submit(request);
  await until(() => request.branches.every(({ length }) => length > 14));
  made.engine.cancel(request);
  const samples = await request.result;
  for (const { finishReason, tokens } of samples) {
    expect(finishReason).toBe('abort');
    expect(tokens.length).toBeGreaterThan(3);
  }
  await until(() => made.native.liveSequences === 0);
  const failing = samplesOf(made, range(5, 10), { maxTokens: 20, temperature: 1 });
  made.native.failure = new Error('broken');
  made.engine.submit(failing);
  await expect(failing.result).rejects.toMatchObject({ code: 'INTERNAL', message: 'broken' });
  await until(() => made.native.liveSequences === 0);
});

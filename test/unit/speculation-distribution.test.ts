/** With drafts sampled tokens have the probabilities of the model: chi-square of 100,000 of a model that is known. */
import { expect, it } from 'vitest';
import { Engine } from '../../lib/engine/engine.js';
import { requestOf } from '../../lib/engine/launch.js';
import { LookupSource } from '../../lib/engine/lookup-source.js';
import { GenerationRun } from '../../lib/engine/run.js';
import { SamplerBuffers } from '../../lib/generation/sampler.js';
import { parseGenerateOptions } from '../../lib/options.js';
import { inSimulatedTime, vocabulary } from './engine-bench.js';
import { FakeNative, fakeLogits } from './engine-fake.js';

const vocabSize = 5;
const temperature = 1.5;

/** [token before][token] counts over texts of 50 seeds. */
async function draw(): Promise<{ counts: Float64Array[]; drafted: number; accepted: number }> {
  const counts = Array.from({ length: vocabSize }, () => new Float64Array(vocabSize));
  let drafted = 0;
  let accepted = 0;
  const native = new FakeNative({ vocabSize, memory: 1, stepMs: 10, tokenMs: 0.01, kvCapacity: 2 ** 17 });
  const engine = new Engine(native, 2500);
  const buffers = new SamplerBuffers(vocabSize);
  const runs = Array.from({ length: 50 }, (_, seed) => {
    const run = new GenerationRun();
    engine.submit(
      requestOf({
        run,
        prompt: Int32Array.of(0, 1, 2),
        settings: parseGenerateOptions({ maxTokens: 2001, temperature, seed }, {}, vocabSize),
        contextLength: 2500,
        vocabulary: { ...vocabulary([]), size: vocabSize },
        buffers,
        cache: { reuse: false },
        drafts: (_prompt, positions) => new LookupSource(positions),
        createdAt: 0,
      }),
    );
    return run;
  });
  for (const { tokens, timings } of await Promise.all(runs)) {
    for (let i = 1; i < tokens.length; i++) counts[tokens[i - 1]!]![tokens[i]!]!++;
    drafted += timings.draftedTokens!;
    accepted += timings.acceptedTokens!;
  }
  await engine.dispose();
  return { counts, drafted, accepted };
}

it('100,000 tokens, many of them drafted, right and wrong', async () => {
  await inSimulatedTime(async () => {
    const { counts, drafted, accepted } = await draw();
    expect(accepted).toBeGreaterThan(10_000);
    expect(drafted - accepted).toBeGreaterThan(10_000);
    let chiSquare = 0;
    counts.forEach((row, before) => {
      const weights = Array.from(fakeLogits([before], vocabSize), (logit) => Math.exp(logit / temperature));
      const mass = weights.reduce((a, b) => a + b);
      const seen = row.reduce((a, b) => a + b);
      expect(seen).toBeGreaterThan(3000);
      weights.forEach((weight, token) => {
        const expected = (seen * weight) / mass;
        chiSquare += (row[token]! - expected) ** 2 / expected;
      });
    });
    // 20 degrees of freedom: beyond 45.3 lies a thousandth.
    expect(chiSquare).toBeLessThan(45.3);
  });
}, 120_000);

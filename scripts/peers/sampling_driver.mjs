// What sampling costs a token: node sampling_driver.mjs KERNELS THREADS -> {"samplingMs", "nativeMs"}, one line.
// Native picks 256 candidates of 49,152 logits and sums their exponentials; the sampler applies top-k 40, top-p 0.9 and
// temperature 0.7 to them. Medians over rows that look like text: normally distributed, so that a few tokens lead.
import { createRequire } from 'node:module';
import { Random } from '../../dist/generation/random.js';
import { Sampler, SamplerBuffers } from '../../dist/generation/sampler.js';
import { median } from './statistics.mjs';

const [kernels, threads] = process.argv.slice(2);
const { summarize } = createRequire(import.meta.url)('../../build/Release/kvasir_testing.node');
const vocabulary = 49_152;
const rows = 16;
const tokens = 1000;
const options = {
  ...{ temperature: 0.7, topK: 40, topP: 0.9, minP: 0, typicalP: 1, repetitionPenalty: 1 },
  ...{ presencePenalty: 0, frequencyPenalty: 0, logitBias: {}, seed: 1 },
};

function normalLogits(seed) {
  const random = new Random(seed);
  const deviation = 3;
  return Float32Array.from({ length: vocabulary }, () => {
    const radius = Math.sqrt(-2 * Math.log(1 - random.uniform()));
    return deviation * radius * Math.cos(2 * Math.PI * random.uniform());
  });
}

const summaries = Array.from({ length: rows }, (_, i) => {
  const full = normalLogits(i + 1);
  return { full, ...summarize(kernels, Number(threads), full, 256, options.temperature) };
});
const sampler = new Sampler(options, new SamplerBuffers(vocabulary));
const times = Array.from({ length: tokens }, (_, i) => {
  const started = performance.now();
  sampler.sample(summaries[i % rows]);
  return performance.now() - started;
});
const nativeMs = 1000 * median(summaries.map(({ seconds }) => seconds));
process.stdout.write(`${JSON.stringify({ samplingMs: nativeMs + median(times), nativeMs })}\n`);

// Milliseconds that sampling takes per token, at a vocabulary of 49,152 with the 256 candidates that native returns.
//   npm run build && node scripts/measure-sampler.mjs
import { Sampler, SamplerBuffers } from '../dist/generation/sampler.js';
import { Random } from '../dist/generation/random.js';

const vocabSize = 49_152;
const rowCount = 16;
const tokens = 2000;

/** Normally distributed logits: with scale 3 a few tokens lead, as in text; with scale 0.5 none does. */
function makeRow(seed, scale, temperature) {
  const random = new Random(seed);
  const full = Float32Array.from({ length: vocabSize }, () => {
    const radius = Math.sqrt(-2 * Math.log(1 - random.uniform()));
    return scale * radius * Math.cos(2 * Math.PI * random.uniform());
  });
  const ids = Int32Array.from(full.keys())
    .sort((a, b) => full[b] - full[a] || a - b)
    .subarray(0, 256);
  const logSumExp = (t) => Math.log(full.reduce((sum, logit) => sum + Math.exp(logit / t), 0));
  const logits = Float32Array.from(ids, (id) => full[id]);
  return { ids, logits, logSumExp: logSumExp(temperature), logSumExp1: logSumExp(1), full };
}

const neutral = {
  temperature: 0.7,
  topK: 0,
  topP: 1,
  minP: 0,
  typicalP: 1,
  repetitionPenalty: 1,
  presencePenalty: 0,
  frequencyPenalty: 0,
  logitBias: {},
  seed: 1,
};

const cases = [
  ['greedy', 3, { temperature: 0 }],
  ['temperature, top-k 40, top-p 0.9', 3, { topK: 40, topP: 0.9 }],
  ['temperature, top-p 0.9 (covered)', 3, { topP: 0.9 }],
  ['temperature alone', 3, {}],
  ['top-k 40, top-p 0.9, repetition 1.1 over 500 tokens', 3, { topK: 40, topP: 0.9, repetitionPenalty: 1.1 }],
  ['top-p 0.9, repetition 1.1 over 500 tokens', 3, { topP: 0.9, repetitionPenalty: 1.1 }],
  ['top-p 0.9 of a flat distribution (not covered)', 0.5, { topP: 0.9, temperature: 1.5 }],
  ['typical-p 0.9 without top-k', 3, { typicalP: 0.9 }],
];

const buffers = new SamplerBuffers(vocabSize);
for (const [name, scale, change] of cases) {
  const options = { ...neutral, ...change };
  const rows = Array.from({ length: rowCount }, (_, i) => makeRow(i + 1, scale, options.temperature || 1));
  const sampler = new Sampler(options, buffers);
  sampler.acceptPrompt(Int32Array.from({ length: 500 }, (_, i) => (i * 97) % vocabSize));
  const times = new Float64Array(tokens);
  for (let i = 0; i < tokens; i++) {
    const started = performance.now();
    sampler.sample(rows[i % rowCount]);
    times[i] = performance.now() - started;
  }
  times.sort();
  const [median, p99] = [times[tokens / 2], times[Math.floor(tokens * 0.99)]].map((ms) => ms.toFixed(3));
  process.stdout.write(`${name}: median ${median} ms, p99 ${p99} ms\n`);
}

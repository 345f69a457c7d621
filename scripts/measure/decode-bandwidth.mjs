// Which share of the memory bandwidth decoding uses: node scripts/measure/decode-bandwidth.mjs [model]
// INT8 and FP32 in turn, five rounds; the bandwidth is the best read of a 144 MB huge-page buffer in the same run.
import { createRequire } from 'node:module';
import { Model } from '../../dist/index.js';

const { machineLimits } = createRequire(import.meta.url)('../../build/Release/kvasir_testing.node');
const [reference = 'smollm2-135m'] = process.argv.slice(2);
const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];
const prompt = Int32Array.from({ length: 16 }, (_, i) => i + 1);

const models = {};
for (const dtype of ['int8', 'fp32']) models[dtype] = await Model.load(reference, { dtype });
const samples = { int8: [], fp32: [] };
for (let i = 0; i < 6; ++i) {
  for (const [dtype, model] of Object.entries(models)) {
    const options = { maxTokens: 64, temperature: 0.7, topK: 40, topP: 0.9, seed: i, ignoreEos: true };
    const { timings } = await model.generate(prompt, options);
    if (i > 0) samples[dtype].push(timings.decodeTokensPerSecond);
  }
}
const { threads, kernels } = models.int8.info;
const limits = machineLimits(kernels, threads, 144 * 2 ** 20);
const report = { kernels, threads, readGBs: Number((limits.readBytesPerSecond / 1e9).toFixed(1)) };
for (const [dtype, model] of Object.entries(models)) {
  const rate = median(samples[dtype]);
  const bytes = model.info.memory.weights;
  report[dtype] = {
    tokensPerSecond: Number(rate.toFixed(1)),
    spread: [Math.min(...samples[dtype]), Math.max(...samples[dtype])].map((value) =>
      Number(value.toFixed(1)),
    ),
    megabytesPerToken: Number((bytes / 1e6).toFixed(1)),
    shareOfBandwidth: Number(((rate * bytes) / limits.readBytesPerSecond).toFixed(3)),
  };
  await model.dispose();
}
report.int8OverFp32 = Number((report.int8.tokensPerSecond / report.fp32.tokensPerSecond).toFixed(2));
console.log(JSON.stringify(report));

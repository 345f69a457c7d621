// How near decoding and prefill of models of real sizes come to the machine, in INT8: random weights, made by
// random_shapes.py.
//   node scripts/measure/random-shapes.mjs FOLDER [rounds]
// In turn, the machine's own reading before and after each: decoding as a share of the read bandwidth, counting the
// weights and scales that a token meets, its states (read and written) and the KV cache; prefill of 512 tokens in
// operations a second, also beside the dense shape. Medians and spread.
import { readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { Model } from '../../dist/index.js';
import { median } from '../peers/statistics.mjs';

const { machineLimits } = createRequire(import.meta.url)('../../build/Release/kvasir_testing.node');
const [folder, rounds = '5'] = process.argv.slice(2);
const promptTokens = 512;
const decoded = 48;
const tokens = (seed) =>
  Int32Array.from({ length: promptTokens }, (_, i) => ((i * 7919 + seed * 104_729) % 900) + 2);
const spread = (values, digits) =>
  [median(values), Math.min(...values), Math.max(...values)].map((value) => Number(value.toFixed(digits)));

const models = {};
for (const name of readdirSync(folder)) {
  models[name] = await Model.load(join(folder, name), { dtype: 'int8', contextLength: 1024 });
}
const samples = Object.fromEntries(
  Object.keys(models).map((name) => [name, { decode: [], prefill: [], share: [] }]),
);
const { kernels, threads } = Object.values(models)[0].info;
const readBandwidth = () => machineLimits(kernels, threads, 144 * 2 ** 20).readBytesPerSecond;
for (let round = 0; round <= Number(rounds); round++) {
  for (const [name, model] of Object.entries(models)) {
    const { activeParameters, parameters, memory, stateBytes, kvBytesPerToken, vocabSize, hiddenSize } =
      model.info;
    const before = readBandwidth();
    const { timings } = await model.generate(tokens(round), {
      maxTokens: decoded,
      ignoreEos: true,
      seed: round,
      temperature: 0,
    });
    const limit = Math.max(before, readBandwidth());
    if (round === 0) continue; // pages become resident
    const bytes =
      (memory.weights * activeParameters) / parameters +
      2 * stateBytes +
      kvBytesPerToken * (promptTokens + decoded / 2);
    const { decode, prefill, share } = samples[name];
    decode.push(timings.decodeTokensPerSecond);
    // The tied head sees one row of a prompt.
    prefill.push(2e-9 * (activeParameters - vocabSize * hiddenSize) * timings.prefillTokensPerSecond);
    share.push((timings.decodeTokensPerSecond * bytes) / limit);
  }
}
console.log(JSON.stringify({ kernels, threads, of: '[median, least, most]' }));
for (const [name, { decode, prefill, share }] of Object.entries(samples)) {
  const beside = samples.dense && {
    prefillOfDense: spread(
      prefill.map((value, i) => value / samples.dense.prefill[i]),
      2,
    ),
  };
  console.log(
    JSON.stringify({
      name,
      tokensPerSecond: spread(decode, 1),
      shareOfBandwidth: spread(share, 3),
      prefillGops: spread(prefill, 1),
      ...beside,
    }),
  );
}
for (const model of Object.values(models)) await model.dispose();

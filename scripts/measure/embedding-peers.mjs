// Embeddings beside peers, MiniLM-L6, two threads each, in turn:
//   node scripts/measure/embedding-peers.mjs PYTHON [rounds] [PACKAGES]
// PYTHON has what scripts/peers/embedding_driver.py asks for; with PACKAGES (embedding_driver.mjs) transformers.js takes part.
// Each engine has a process, which is stopped while another is measured. Three works: 16 texts of 128 tokens, 64 of 8 to 256,
// one of 16. Prints tokens a second (medians, least and most), ratios to Kvasir's INT8, peak memory above an idle Node
// process, and how near our linears come to the rate of operations that SmolLM2's prefill has in the same run; and the least
// cosine between first vectors of two engines.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Model, similarity } from '../../dist/index.js';
import { resolveModel } from '../../dist/hub/index.js';
import { Resident } from '../peers/resident.mjs';
import { median } from '../peers/statistics.mjs';

const [python, rounds = '5', packages] = process.argv.slice(2);
if (!python) throw new Error('usage: embedding-peers.mjs PYTHON [rounds] [PACKAGES]');
const threads = 2;
const scratch = mkdtempSync(join(tmpdir(), 'kvasir-embedding-peers-'));
const { weights } = await resolveModel('minilm-l6-v2');
const driverOf = (ending) => fileURLToPath(new URL(`../peers/embedding_driver.${ending}`, import.meta.url));

/** One token each. */
const words =
  'house river stone winter market paper garden window morning teacher music engine letter island'.split(' ');
let state = 1;
const random = (below) => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return state % below;
};
/** Of so many tokens, the two around it counted. */
const textOf = (tokens) => Array.from({ length: tokens - 2 }, () => words[random(words.length)]).join(' ');
const works = {
  '16 texts of 128': () => Array.from({ length: 16 }, () => textOf(128)),
  '64 texts of 8 to 256': () => Array.from({ length: 64 }, (_, i) => textOf(8 + Math.round((i * 248) / 63))),
  'one text of 16': () => [textOf(16)],
};
const tokensOf = (texts) => texts.reduce((sum, text) => sum + text.split(' ').length + 2, 0);

async function start(command, ending, engine) {
  const args = [driverOf(ending), engine, dirname(weights[0]), String(threads), scratch, packages ?? ''];
  const resident = new Resident({ command, args });
  const facts = await resident.start();
  return { facts, embed: (texts) => resident.ask(texts) };
}
const inNode = (engine) => start(process.execPath, 'mjs', engine);
const inPython = (engine) => start(python, 'py', engine);

const engines = {
  'kvasir int8': await inNode('kvasir-int8'),
  'kvasir fp32': await inNode('kvasir-fp32'),
  'onnxruntime int8': await inPython('onnxruntime-int8'),
  'onnxruntime fp32': await inPython('onnxruntime-fp32'),
  'sentence-transformers': await inPython('sentence-transformers'),
};
if (packages !== undefined) {
  engines['transformers.js int8'] = await inNode('transformers.js-int8');
  engines['transformers.js fp32'] = await inNode('transformers.js-fp32');
}
const { peakBytes: idleBytes } = await (await inNode('idle')).embed([]);
const names = Object.keys(engines);
const inNodeNames = names.filter((name) => /^(kvasir|transformers.js)/.test(name));
const rates = Object.fromEntries(
  Object.keys(works).map((work) => [work, Object.fromEntries(names.map((name) => [name, []]))]),
);
const smol = await Model.load('smollm2-135m', { threads });
const smolRates = [];
const peaks = {};
let least = 1;
for (let round = 0; round <= Number(rounds); round++) {
  for (const [work, make] of Object.entries(works)) {
    const texts = make();
    let reference;
    for (let i = 0; i < names.length; i++) {
      const name = names[(i + round) % names.length];
      const { seconds, first, peakBytes } = await engines[name].embed(texts);
      peaks[name] = peakBytes;
      reference ??= Float32Array.from(first);
      least = Math.min(least, similarity(reference, Float32Array.from(first)));
      if (round > 0) rates[work][name].push(tokensOf(texts) / seconds);
    }
  }
  const prompt = Int32Array.from({ length: 512 }, (_, i) => ((i * 7919 + round) % 40_000) + 100);
  const { timings } = await smol.generate(prompt, { maxTokens: 1 });
  if (round > 0) smolRates.push(timings.prefillTokensPerSecond);
}

const operations = (linears, rate) => 2e-9 * linears * rate;
const spread = (values) => [median(values), Math.min(...values), Math.max(...values)].map(Math.round);
for (const [work, byName] of Object.entries(rates)) {
  for (const [name, values] of Object.entries(byName)) {
    const ratio = median(byName['kvasir int8'].map((value, i) => value / values[i]));
    console.log(
      JSON.stringify({
        work,
        engine: name,
        tokensPerSecond: spread(values),
        int8IsTimes: Number(ratio.toFixed(2)),
      }),
    );
  }
}
const batchRate = median(rates['16 texts of 128']['kvasir int8']);
const batch = operations(engines['kvasir int8'].facts.linears, batchRate);
const { parameters, vocabSize, hiddenSize } = smol.info;
const prefill = operations(parameters - vocabSize * hiddenSize, median(smolRates));
console.log(
  JSON.stringify({
    kernels: smol.info.kernels,
    leastCosine: Number(least.toFixed(5)),
    peakMiBAboveIdle: Object.fromEntries(
      inNodeNames.map((name) => [name, Math.round((peaks[name] - idleBytes) / 2 ** 20)]),
    ),
    gops: {
      embed16x128: Math.round(batch),
      smollm2Prefill: Math.round(prefill),
      share: Number((batch / prefill).toFixed(2)),
    },
  }),
);
await smol.dispose();
rmSync(scratch, { recursive: true });
// The engines' processes end with this one.
process.exit(0);

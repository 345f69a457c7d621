// Resident memory: node scripts/measure/memory.mjs load|tokenizer <model>
//                  node scripts/measure/memory.mjs cycles <model> <count>
//                  node scripts/measure/memory.mjs workers - <count>
// `workers` does without Kvasir what a cycle asks of Node: a worker thread that starts, answers and is ended.
// `load` and `tokenizer` are run in processes of their own; the difference of the two is what a model costs.
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { Session } from 'node:inspector/promises';
import { Worker } from 'node:worker_threads';
import { Model } from '../../dist/index.js';
import { describeModel } from '../../dist/formats/index.js';
import { resolveModel } from '../../dist/hub/index.js';
import { native } from '../../dist/native.js';
import { Tokenizer } from '../../dist/tokenizer/tokenizer.js';

// As the command line does: what malloc keeps of ended threads goes back.
process.env.KVASIR_TRIM_HEAP ??= '1';
const [mode, reference, count = '50'] = process.argv.slice(2);
const options = { contextLength: 512, kvCapacity: 512 };

function resident(field = 'VmRSS') {
  const status = readFileSync('/proc/self/status', 'utf8');
  return Number(new RegExp(`${field}:\\s+(\\d+)`).exec(status)[1]) * 1024;
}

const inspector = new Session();
inspector.connect();

/**
 * After the collector had its say, twice: finalizers of the first round free what the second one finds. It collects as
 * when memory is short: `gc()` would leave the room that V8 has for new objects as large as it ever became.
 */
async function settled() {
  for (let i = 0; i < 2; ++i) {
    await inspector.post('HeapProfiler.collectGarbage');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return resident();
}

function median(values) {
  return values.toSorted((a, b) => a - b)[values.length >> 1];
}

async function loadTokenizer() {
  const files = await resolveModel(reference);
  const container = await native().openContainer(files.weights);
  const { tokenizerSource } = await describeModel(files, container);
  container.close();
  return Tokenizer.load(tokenizerSource);
}

/** Fills the whole cache, so that every page that was promised is resident. */
async function fill(model) {
  const prompt = Int32Array.from({ length: 500 }, (_, i) => (i * 7) % model.info.vocabSize);
  await model.generate(prompt, { maxTokens: 12, temperature: 0, ignoreEos: true });
}

async function modelCycle() {
  const model = await Model.load(reference, options);
  await model.generate('Once upon a time', { maxTokens: 8, temperature: 0 });
  await model.dispose();
}

async function workerCycle() {
  const code = "require('node:worker_threads').parentPort.on('message', () => {}).postMessage('ready')";
  const worker = new Worker(code, { eval: true, stdout: true });
  await once(worker, 'message');
  await worker.terminate();
}

if (mode === 'tokenizer') {
  const tokenizer = await loadTokenizer();
  await tokenizer.encodeAsync('Once upon a time');
  console.log(JSON.stringify({ resident: await settled() }));
  await tokenizer.dispose();
} else if (mode === 'load') {
  const model = await Model.load(reference, options);
  const peakOfLoad = resident('VmHWM');
  await fill(model);
  const { weights, kv } = model.info.memory;
  console.log(JSON.stringify({ resident: await settled(), peakOfLoad, weights, kv }));
  await model.dispose();
} else {
  const cycle = mode === 'workers' ? workerCycle : modelCycle;
  const after = [];
  for (let i = 0; i < Number(count); ++i) {
    await cycle();
    after.push(await settled());
  }
  // What a process warms up (V8's code, pages of node) ends; a leak goes on. Medians: single readings scatter by 0.5 MB.
  const fifth = Math.floor(after.length / 5);
  const warm = median(after.slice(fifth, 2 * fifth));
  const last = median(after.slice(-fifth));
  console.log(JSON.stringify({ cycle5: after[4], warm, last, after }));
}

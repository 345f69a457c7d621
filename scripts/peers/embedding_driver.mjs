// An embedding engine in Node for embedding-peers.mjs: embedding_driver.mjs ENGINE MODEL_FOLDER THREADS SCRATCH [PACKAGES]
// ENGINE: kvasir-int8, kvasir-fp32, transformers.js-int8, transformers.js-fp32, or idle, a process that does nothing. As
// embedding_driver.py: a list of texts a line, {"seconds", "first", "peakBytes"} in answer. PACKAGES is a folder in which
// `npm install --ignore-scripts @huggingface/transformers` was run; its models are those that embedding_driver.py made.
import { copyFileSync, mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

const [engine, folder, threadsText, scratch, packages] = process.argv.slice(2);
const threads = Number(threadsText);
const peakBytes = () => Number(/VmHWM:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]) * 1024;

async function kvasir(dtype) {
  const { Model } = await import('../../dist/index.js');
  const model = await Model.load(folder, { dtype, threads });
  const embed = async (texts) => (await model.embed(texts, { pooling: 'mean', normalize: true }))[0];
  const { parameters, vocabSize, hiddenSize } = model.info;
  return { embed, facts: { linears: parameters - vocabSize * hiddenSize } };
}

async function transformersJs(dtype) {
  const name = `transformers.js-${dtype}`;
  mkdirSync(join(scratch, name, 'onnx'), { recursive: true });
  for (const file of ['config.json', 'tokenizer.json', 'tokenizer_config.json']) {
    copyFileSync(join(folder, file), join(scratch, name, file));
  }
  const made = dtype === 'int8' ? 'model-int8.onnx' : 'model.onnx';
  copyFileSync(join(scratch, made), join(scratch, name, 'onnx', 'model.onnx'));
  const entry = createRequire(join(packages, 'package.json')).resolve('@huggingface/transformers');
  const { env, pipeline } = await import(pathToFileURL(entry).href);
  env.allowRemoteModels = false;
  env.localModelPath = scratch;
  const extract = await pipeline('feature-extraction', name, {
    dtype: 'fp32', // which is how it calls a file without a suffix
    session_options: { intraOpNumThreads: threads },
  });
  const embed = async (texts) => (await extract(texts, { pooling: 'mean', normalize: true })).tolist()[0];
  return { embed, facts: {} };
}

async function load() {
  if (engine === 'idle') return { embed: async () => [], facts: {} };
  const [name, dtype] = engine.split('-');
  return name === 'kvasir' ? kvasir(dtype) : transformersJs(dtype);
}

const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);
const { embed, facts } = await load();
say({ ready: true, ...facts });
for await (const line of createInterface({ input: process.stdin })) {
  const texts = JSON.parse(line);
  const begun = performance.now();
  const first = await embed(texts);
  say({ seconds: (performance.now() - begun) / 1000, first: Array.from(first), peakBytes: peakBytes() });
}
// Native threads of an engine may still be there; nothing is left to be saved.
process.exit(0);

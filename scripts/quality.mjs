// What INT8 costs SmolLM2: KL divergence to FP32 and how often the best token stays, over windows of 512 tokens, each
// fed alone, the second half scored. Default load options; KVASIR_CPU_ISA forces a kernel table.
//   node scripts/quality.mjs [windows]                 the first `windows` of 24 (default all), after `npm run build`
//   node scripts/quality.mjs --tokenize <text file>    makes the windows again: test/fixtures/smollm2/windows.json
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isMain, runMain } from './command.mjs';
import { projectRoot } from './setup.mjs';

const windowTokens = 512;
const fixture = join(projectRoot, 'test/fixtures/smollm2/windows.json');

/** @returns {number[][]} token ids of the windows, one after another in the text */
export function readWindows() {
  const { ids } = JSON.parse(readFileSync(fixture, 'utf8'));
  return Array.from({ length: ids.length / windowTokens }, (_, i) =>
    ids.slice(i * windowTokens, (i + 1) * windowTokens),
  );
}

/** log(sum(exp(x))) in float64, and the index of the largest value. */
function summary(row) {
  let best = 0;
  for (let i = 1; i < row.length; ++i) if (row[i] > row[best]) best = i;
  let sum = 0;
  for (let i = 0; i < row.length; ++i) sum += Math.exp(row[i] - row[best]);
  return { best, logSum: row[best] + Math.log(sum) };
}

/**
 * Compares two distributions in float64.
 * @param {Float32Array} reference logits
 * @param {Float32Array} other logits
 * @returns {{ kl: number, same: boolean }} KL(reference || other) in nats; whether the best token is the same
 */
export function compareRows(reference, other) {
  const p = summary(reference);
  const q = summary(other);
  let kl = 0;
  for (let i = 0; i < reference.length; ++i) {
    const logP = reference[i] - p.logSum;
    kl += Math.exp(logP) * (logP - (other[i] - q.logSum));
  }
  return { kl, same: p.best === q.best };
}

/**
 * Logits of the second half of one window that is fed alone.
 * @param {import('../lib/native.js').NativeModel} model
 * @param {readonly number[]} ids
 * @returns {Promise<(Float32Array | null)[]>}
 */
export async function scoredRows(model, ids) {
  const half = ids.length / 2;
  const sequence = model.createSequence();
  const { fullLogits } = await model.step({
    sequences: Int32Array.of(sequence),
    counts: Int32Array.of(ids.length),
    tokens: Int32Array.from(ids),
    rows: Int32Array.from({ length: half }, (_, i) => half + i),
    temperatures: new Float32Array(half),
    fullLogits: new Uint8Array(half).fill(1),
    targets: new Int32Array(half).fill(-1),
  });
  model.freeSequence(sequence);
  return fullLogits;
}

/**
 * @param {import('../lib/native.js').NativeModel} fp32
 * @param {import('../lib/native.js').NativeModel} int8
 * @param {readonly number[]} ids
 * @returns {Promise<{ kl: number, same: boolean }[]>} one entry for each scored row
 */
export async function measureWindow(fp32, int8, ids) {
  const [reference, quantized] = [await scoredRows(fp32, ids), await scoredRows(int8, ids)];
  return reference.map((row, i) => compareRows(row, quantized[i]));
}

/**
 * @param {{ kl: number, same: boolean }[]} rows
 * @returns {{ mean: number, median: number, p99: number, sameTop: number }} KL in nats; `sameTop` a fraction
 */
export function summarize(rows) {
  const kls = rows.map(({ kl }) => kl).sort((a, b) => a - b);
  return {
    mean: kls.reduce((sum, kl) => sum + kl, 0) / kls.length,
    median: kls[Math.floor(kls.length / 2)],
    p99: kls[Math.floor(kls.length * 0.99)],
    sameTop: rows.filter(({ same }) => same).length / rows.length,
  };
}

function say(name, { mean, median, p99, sameTop }) {
  const kl = [mean, median, p99].map((value) => value.toFixed(5)).join('  ');
  process.stdout.write(`${name.padEnd(10)} ${kl}  ${(100 * sameTop).toFixed(2)} %\n`);
}

async function measure(nWindows) {
  const [{ native }, { describeModel }, { resolveModel }] = await Promise.all(
    ['native', 'formats/index', 'hub/index'].map((name) => import(`../dist/${name}.js`)),
  );
  const files = await resolveModel('smollm2-135m');
  const container = await native().openContainer(files.weights);
  const { spec, tensors } = await describeModel(files, container);
  const models = [];
  for (const dtype of ['fp32', 'int8']) {
    const options = {
      dtype,
      kvDtype: dtype,
      contextLength: windowTokens,
      kvCapacity: windowTokens,
      threads: 0,
    };
    models.push(await native().loadModel(container, spec, tensors, options).promise);
  }
  container.close();
  process.stdout.write(
    `${files.weights[0]}, ${models[1].info.kernels}\nwindow     mean KL  median   p99      same top\n`,
  );
  const all = [];
  for (const [i, ids] of readWindows().slice(0, nWindows).entries()) {
    const rows = await measureWindow(...models, ids);
    say(`${i + 1}`, summarize(rows));
    all.push(...rows);
  }
  say('all', summarize(all));
  for (const model of models) await model.dispose();
}

async function tokenize(path, nWindows = 24) {
  const [{ describeModel }, { resolveModel }, { native }, { Tokenizer }] = await Promise.all(
    ['formats/index', 'hub/index', 'native', 'tokenizer/tokenizer'].map(
      (name) => import(`../dist/${name}.js`),
    ),
  );
  const files = await resolveModel('smollm2-135m');
  const container = await native().openContainer(files.weights);
  const { tokenizerSource } = await describeModel(files, container);
  container.close();
  const tokenizer = await Tokenizer.load(tokenizerSource);
  const ids = await tokenizer.encodeAsync(readFileSync(path, 'utf8'), { addSpecialTokens: false });
  await tokenizer.dispose();
  const about =
    'the first 24 windows of 512 tokens of frankenstein-150k.txt: node scripts/quality.mjs --tokenize';
  writeFileSync(fixture, `${JSON.stringify({ about, ids: [...ids.slice(0, nWindows * windowTokens)] })}\n`);
}

async function main() {
  const [first, path] = process.argv.slice(2);
  if (first === '--tokenize') await tokenize(path);
  else await measure(first === undefined ? 24 : Number(first));
}

if (isMain(import.meta.url)) await runMain(main);

// Proves the statistics of `compare` against llama.cpp: its F32 and Q8_0 logits of one model, fed to our code, must give
// the mean and the p99 that its own `llama-perplexity --kl-divergence` prints, within 2 %.
//   node scripts/measure/kl-against-llama.mjs --perplexity <llama-perplexity> --python <python> [--model <file.gguf>]
//     [--chunks 24] [--work <folder>]
// The python needs numpy, gguf and llama-cpp-python (see llama_logits.py). Without --model: SmolLM2, as `kvasir pull`
// has it. Takes 3 GB of disk for a vocabulary of 49k and 24 chunks. After `npm run build`. Exit status 1: they disagree.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, openSync, readSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { isMain, runMain } from '../command.mjs';
import { projectRoot } from '../setup.mjs';

const allowed = 0.02;
const script = join(projectRoot, 'scripts/measure/llama_logits.py');
const text = join(projectRoot, 'texts/frankenstein.txt');

/** @returns {Promise<string>} what the command printed; its errors go through */
async function run(command, args) {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let printed = '';
  child.stdout.setEncoding('utf8').on('data', (part) => {
    printed += part;
  });
  child.stderr.setEncoding('utf8').on('data', (part) => {
    printed += part;
  });
  const status = await new Promise((resolve, reject) => child.on('error', reject).on('close', resolve));
  if (status !== 0)
    throw new Error(`${command} ${args.join(' ')} ended with ${status}\n${printed.slice(-2000)}`);
  return printed;
}

/** Tokens of the windows, from the file of llama-perplexity. */
function readWindows(path) {
  const file = openSync(path, 'r');
  const header = Buffer.alloc(20);
  readSync(file, header, 0, 20, 0);
  const [nCtx, nVocab, nChunk] = [header.readUInt32LE(8), header.readInt32LE(12), header.readInt32LE(16)];
  const bytes = Buffer.alloc(4 * nCtx * nChunk);
  readSync(file, bytes, 0, bytes.length, 20);
  const tokens = new Int32Array(bytes.buffer, bytes.byteOffset, nCtx * nChunk);
  return { nCtx, nVocab, nChunk, tokens };
}

/** Rows of float32 from a child's stdout, one after another. */
async function* rowsOf(child, nVocab) {
  const size = 4 * nVocab;
  let parts = [];
  let held = 0;
  for await (const part of child.stdout) {
    parts.push(part);
    held += part.length;
    if (held < size) continue;
    const all = Buffer.concat(parts);
    let at = 0;
    for (; at + size <= held; at += size) {
      // A copy: rows must begin at a multiple of 4.
      yield new Float32Array(new Uint8Array(all.subarray(at, at + size)).buffer);
    }
    parts = [all.subarray(at)];
    held -= at;
  }
  const status = child.exitCode ?? (await new Promise((resolve) => child.on('close', resolve)));
  if (status !== 0) throw new Error(`llama_logits.py ended with ${status ?? child.signalCode}`);
}

async function ourStatistics({ python, f32, q8, base }) {
  const { compareRows } = await import('../../dist/compare/divergence.js');
  const { QualityAccumulator } = await import('../../dist/compare/quality-statistics.js');
  const { firstScored } = await import('../../dist/compare/windows.js');
  const { nCtx, nVocab, nChunk, tokens } = readWindows(base);
  const [exact, rounded] = [f32, q8].map((model) =>
    spawn(python, [script, 'logits', model, base], { stdio: ['ignore', 'pipe', 'inherit'] }),
  );
  const all = new QualityAccumulator();
  const others = rowsOf(rounded, nVocab);
  const first = firstScored(nCtx);
  const scored = nCtx - 1 - first;
  for await (const row of rowsOf(exact, nVocab)) {
    const { value: other } = await others.next();
    if (other === undefined) throw new Error(`the rows of Q8_0 end after ${all.rows}`);
    const window = Math.floor(all.rows / scored);
    const target = tokens[window * nCtx + first + (all.rows % scored) + 1];
    all.add(compareRows(row, other, target));
  }
  if (all.rows !== nChunk * scored) throw new Error(`${all.rows} rows came instead of ${nChunk * scored}`);
  return all.statistics();
}

/** The numbers that llama-perplexity prints at its end. */
function parseStatistics(printed) {
  const number = (label) => {
    const found = new RegExp(`^${label}\\s*:\\s*(-?[\\d.]+)`, 'm').exec(printed.replace(/^[\d.]+ I /gm, ''));
    if (!found) throw new Error(`llama-perplexity printed no '${label}'\n${printed.slice(-3000)}`);
    return Number(found[1]);
  };
  return {
    'mean KL': number('Mean +KLD'),
    'median KL': number('Median +KLD'),
    'p99 KL': number('99\\.0% +KLD'),
    'max KL': number('Maximum KLD'),
    'same top, %': number('Same top p'),
    'RMS change, %': number('RMS Δp'),
    'perplexity ratio': number('Mean PPL\\(Q\\)/PPL\\(base\\)'),
  };
}

async function main() {
  const { values } = parseArgs({
    options: {
      perplexity: { type: 'string' },
      python: { type: 'string', default: 'python3' },
      model: { type: 'string' },
      chunks: { type: 'string', default: '24' },
      work: { type: 'string' },
    },
  });
  if (values.perplexity === undefined) throw new Error('--perplexity must name the llama-perplexity program');
  const { resolveModel } = await import('../../dist/hub/index.js');
  const model = values.model ?? (await resolveModel('smollm2-135m')).weights[0];
  const work = values.work ?? mkdtempSync(join(tmpdir(), 'kvasir-kl-'));
  mkdirSync(work, { recursive: true });
  const [f32, q8, base] = ['f32.gguf', 'q8_0.gguf', 'base.kld'].map((name) => join(work, name));
  if (!existsSync(q8)) await run(values.python, [script, 'convert', model, f32, q8]);
  // As llama-cpp-python has it: with flash attention a row in a hundred differs by much more than rounding.
  const common = ['-c', '512', '-b', '512', '-t', '2', '-fa', 'off'];
  if (!existsSync(base)) {
    const args = ['-m', f32, '-f', text, '--chunks', values.chunks, '--kl-divergence-base', base, ...common];
    await run(values.perplexity, args);
  }
  const args = ['-m', q8, '--kl-divergence-base', base, '--kl-divergence', ...common];
  const theirs = parseStatistics(await run(values.perplexity, args));
  const s = await ourStatistics({ python: values.python, f32, q8, base });
  const ours = {
    'mean KL': s.meanKl,
    'median KL': s.medianKl,
    'p99 KL': s.p99Kl,
    'max KL': s.maxKl,
    'same top, %': 100 * s.sameTop1,
    'RMS change, %': 100 * s.probabilityChange.rms,
    'perplexity ratio': s.perplexityRatio,
  };
  process.stdout.write(`${s.rows} tokens\n${''.padEnd(18)}llama.cpp     ours          difference\n`);
  let worst = 0;
  for (const [name, their] of Object.entries(theirs)) {
    const difference = ours[name] / their - 1;
    if (name === 'mean KL' || name === 'p99 KL') worst = Math.max(worst, Math.abs(difference));
    const cells = [their, ours[name]].map((value) => value.toFixed(6).padEnd(14));
    process.stdout.write(`${name.padEnd(18)}${cells.join('')}${(100 * difference).toFixed(3)} %\n`);
  }
  return worst <= allowed ? 0 : 1;
}

if (isMain(import.meta.url)) await runMain(main);

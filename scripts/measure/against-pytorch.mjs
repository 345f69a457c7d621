// A real model in FP32 beside PyTorch: node scripts/measure/against-pytorch.mjs PYTHON MODEL.gguf [TEXT]
// Ten prompts, two of them longer than a window of 512. Kvasir continues each greedily by 48 tokens and gives the 20 most
// probable tokens of every step; PyTorch reads prompt and continuation (against_pytorch.py). Prints one JSON object: the
// greatest difference of a log-probability, and in how many prompts PyTorch would have chosen the same 48 tokens.
// PYTHON needs torch, transformers and gguf. After `npm run build`. TEXT: default texts/frankenstein.txt.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Model } from '../../dist/index.js';
import { beginnings } from './beginnings.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const [python, file, text = join(root, 'texts/frankenstein.txt')] = process.argv.slice(2);
if (file === undefined) throw new Error('usage: against-pytorch.mjs PYTHON MODEL.gguf [TEXT]');
const book = readFileSync(text, 'utf8');
const steps = 48;
const prompts = [...beginnings, '春眠不觉晓，', book.slice(0, 4_000), book.slice(50_000, 58_000)];

const model = await Model.load(file, { dtype: 'fp32', device: 'cpu', contextLength: 4096 });
const runs = [];
for (const prompt of prompts) {
  const { tokens, logprobs } = await model.generate(prompt, {
    maxTokens: steps,
    temperature: 0,
    ignoreEos: true,
    logprobs: 20,
  });
  runs.push({
    ids: Array.from(await model.tokenizer.encodeAsync(prompt)),
    tokens: Array.from(tokens),
    logprobs: logprobs.map(({ id, logprob, top }) => [{ id, logprob }, ...top]),
  });
}
await model.dispose();

const scratch = mkdtempSync(join(tmpdir(), 'kvasir-pytorch-'));
try {
  const exchange = join(scratch, 'runs.json');
  writeFileSync(exchange, JSON.stringify(runs));
  const printed = execFileSync(python, [join(root, 'scripts/measure/against_pytorch.py'), file, exchange], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  process.stdout.write(printed);
} finally {
  rmSync(scratch, { recursive: true });
}

// Beam search on a real model in FP32 beside PyTorch: node scripts/measure/beams-against-pytorch.mjs PYTHON MODEL.gguf
// Twenty prompts, half of them in the chat template's form, four beams, length penalties 0.5, 1 and 2, each way to stop early,
// 24 tokens. Prints one JSON object: how many searches give the same four texts in the same order, token for token, the greatest
// difference of a score, and for each search that differs how far the reference's scores of its texts lie from each other.
// PYTHON needs torch, transformers and gguf (beams_against_pytorch.py). After `npm run build`.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Model } from '../../dist/index.js';
import { beginnings } from './beginnings.mjs';

const [python, file] = process.argv.slice(2);
if (file === undefined) throw new Error('usage: beams-against-pytorch.mjs PYTHON MODEL.gguf');
const questions = [
  'What is the capital of France? Answer in one word.',
  'Say hello.',
  'Is the sky blue? Answer yes or no.',
  'Name one fruit.',
  'How many legs has a dog? Answer with a number.',
  'Translate "cat" to Spanish. One word.',
  'Write a title for a poem about the sea.',
  'What is 2 + 2?',
  'Name a colour.',
  'Finish: roses are red, violets are',
];
const others = ['To be, or not to be, that is', 'In 1969, the first', 'Dear Sir or Madam,\n'];
const beams = 4;
const maxTokens = 24;

const model = await Model.load(file, { dtype: 'fp32', device: 'cpu', contextLength: 1024 });
const prompts = [
  ...questions.map((content) => model.tokenizer.applyChatTemplate([{ role: 'user', content }])),
  ...beginnings,
  ...others,
];
const cases = [];
for (const prompt of prompts) {
  const ids = Array.from(model.tokenizer.encode(prompt));
  for (const lengthPenalty of [0.5, 1, 2]) {
    for (const earlyStopping of [false, true, 'never']) {
      const result = await model.generate(Int32Array.from(ids), {
        beams,
        n: beams,
        maxTokens,
        lengthPenalty,
        earlyStopping,
        temperature: 0,
      });
      const found = result.choices.map(({ tokens, finishReason, score }) => ({
        tokens: Array.from(tokens),
        ended: finishReason === 'stop',
        score,
      }));
      cases.push({ prompt: ids, lengthPenalty, earlyStopping, found });
    }
  }
}
await model.dispose();

const scratch = mkdtempSync(join(tmpdir(), 'kvasir-beams-'));
process.on('exit', () => rmSync(scratch, { recursive: true }));
const runs = join(scratch, 'runs.json');
writeFileSync(runs, JSON.stringify({ beams, maxTokens, cases }));
const reference = fileURLToPath(new URL('beams_against_pytorch.py', import.meta.url));
execFileSync(python, [reference, file, runs], { stdio: 'inherit' });

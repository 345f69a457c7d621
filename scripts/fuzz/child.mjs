// Does the runs of scripts/fuzz.mjs, one after the other, and tells its parent of each.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KvasirError, Model } from '../../dist/index.js';
import { fuzzFiles } from './files.mjs';
import { fuzzHub } from './hub.mjs';
import { fuzzMessages } from './messages.mjs';
import { fuzzOptions } from './options.mjs';
import { Random } from './random.mjs';
import { fuzzTexts } from './texts.mjs';

const [seed, first, end] = process.argv.slice(2, 5).map(Number);
const only = process.argv[5];
const kinds = {
  files: fuzzFiles,
  texts: fuzzTexts,
  messages: fuzzMessages,
  options: fuzzOptions,
  hub: fuzzHub,
};
/** Files are most of the attack surface. */
const turns = ['files', 'texts', 'files', 'messages', 'options', 'hub'];

const tell = (message) => new Promise((resolve) => process.send(message, resolve));
process.on('unhandledRejection', (reason) => {
  void tell({ fault: `unhandled rejection: ${reason?.stack ?? String(reason)}` });
});

const greedy = { maxTokens: 8, temperature: 0 };
const prompt = 'Once upon a time';
const model = await Model.load('stories-260k', { dtype: 'fp32', threads: 1 });
const { text: expected } = await model.generate(prompt, greedy);
const scratch = mkdtempSync(join(tmpdir(), 'kvasir-fuzz-'));

/** @returns what came of it; what is no refusal is a fault */
async function runOne(kind, random, folder) {
  try {
    return (await kinds[kind]({ random, folder, model })) ?? 'done';
  } catch (error) {
    if (error instanceof KvasirError && error.code !== 'INTERNAL') return error.code;
    await tell({ fault: error?.stack ?? String(error) });
    return 'fault';
  }
}

for (let run = first; run < end; ++run) {
  const kind = only || turns[run % turns.length];
  await tell({ kind });
  const started = performance.now();
  const folder = join(scratch, String(run));
  const outcome = await runOne(kind, new Random(seed * 1_000_003 + run), folder);
  rmSync(folder, { recursive: true, force: true });
  if (run % 50 === 49 && (await model.generate(prompt, greedy)).text !== expected) {
    await tell({ fault: 'the model answers otherwise now' });
  }
  await tell({ outcome, ms: performance.now() - started });
}
await model.dispose();
rmSync(scratch, { recursive: true, force: true });
process.disconnect();

// A sentence about each text file of a folder, eight at a time in one batch, with a progress bar.
//   node examples/summarize-folder/summarize.mjs docs [model]
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Presets, SingleBar } from 'cli-progress';
import { Model } from 'kvasir';

const [folder = '.', reference = 'smollm2-135m'] = process.argv.slice(2);
const answerTokens = 60;
const names = (await readdir(folder)).filter((name) => /\.(md|txt)$/.test(name)).sort();
const model = await Model.load(reference);
const bar = new SingleBar({ format: '{bar} {value}/{total} files' }, Presets.shades_classic);

/** The beginning of a text that leaves room for the question and the answer. */
async function beginningOf(text) {
  const room = model.info.contextLength - answerTokens - 100;
  const ids = await model.tokenizer.encodeAsync(text);
  return ids.length <= room ? text : model.tokenizer.decode(ids.slice(0, room));
}

async function summarize(name) {
  const text = await beginningOf(await readFile(join(folder, name), 'utf8'));
  const messages = [{ role: 'user', content: `Say in one sentence what this text is about.\n\n${text}` }];
  const answer = await model.generate(messages, { maxTokens: answerTokens, temperature: 0 });
  bar.increment();
  return answer.text.trim().replace(/\s+/g, ' ');
}

bar.start(names.length, 0);
const summaries = new Map();
const waiting = [...names];
async function work() {
  for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
    summaries.set(name, await summarize(name));
  }
}
await Promise.all(Array.from({ length: 8 }, work));
bar.stop();
for (const name of names) console.log(`${name}: ${summaries.get(name)}`);
await model.dispose();

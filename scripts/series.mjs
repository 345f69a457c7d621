// `npm run series`: twenty pages that explain a GPT part by part, made from a model with the numbers that run in it.
//   npm run series                                      the embedded nano-GPT and SmolLM2, into build/series/<model>
//   npm run series -- --out FOLDER nano-gpt-sort        some models, elsewhere
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { isMain, runMain } from './command.mjs';
import { projectRoot } from './setup.mjs';

/** What each one reads, and how many tokens follow. */
const texts = {
  'nano-gpt-sort': { prompt: 'CBABBC', generate: 5 },
  'smollm2-135m': { prompt: 'The cat sat on the mat because it was', generate: 3 },
};

const built = (...path) => import(join(projectRoot, 'dist', ...path));

async function writeSeries(name, folder) {
  const { Model } = await built('index.js');
  const { tracedOf } = await built('model.js');
  const { pageContent, pageTraceOptions } = await built('trace-page', 'trace-page.js');
  const { seriesPages } = await built('trace-page', 'series.js');
  const model = await Model.load(name, { device: 'cpu' });
  try {
    const traced = tracedOf(model);
    const { prompt, generate } = texts[name];
    const trace = await model.trace(prompt, { ...pageTraceOptions(traced), generate });
    mkdirSync(folder, { recursive: true });
    let bytes = 0;
    for (const { file, html } of seriesPages(await pageContent({ info: model.info, traced }, trace))) {
      writeFileSync(join(folder, file), html);
      bytes += html.length;
    }
    process.stdout.write(`${folder}: 20 pages, ${(bytes / 1e6).toFixed(1)} MB\n`);
  } finally {
    await model.dispose();
  }
}

async function main() {
  const { values, positionals } = parseArgs({ options: { out: { type: 'string' } }, allowPositionals: true });
  const out = values.out ?? join(projectRoot, 'build', 'series');
  const unknown = positionals.find((name) => !Object.hasOwn(texts, name));
  if (unknown !== undefined)
    throw new Error(`There is no series of ${unknown}: ${Object.keys(texts).join(', ')}.`);
  for (const name of positionals.length > 0 ? positionals : Object.keys(texts)) {
    await writeSeries(name, join(out, name));
  }
}

if (isMain(import.meta.url)) await runMain(main);

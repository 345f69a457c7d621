// `npm run bench:peers`: Kvasir and its peers in turn in one run, on the same weights and the same machine.
//   npm run bench:peers -- --install      only set up the peers' folder (the first run does it too)
//   npm run bench:peers -- --only kvasir,llama --rounds 5 --json peers.json
//   npm run bench:peers -- --markdown docs/benchmarks.md
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { join, resolve } from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import { runMain } from './command.mjs';
import { families, familyOf, models } from './peers/engines.mjs';
import { install } from './peers/install.mjs';
import { sectionOf, withSection } from './peers/markdown.mjs';
import { Comparison, prepareQuantized } from './peers/measure.mjs';
import { describeRun, layout } from './peers/report.mjs';
import { pairsOf, singles, targets, targets1b, works } from './peers/works.mjs';
import { Step } from './progress.mjs';
import { projectRoot } from './setup.mjs';

const say = (text) => process.stderr.write(`${text}\n`);

function parseCount(text) {
  const count = Number(text);
  if (!Number.isInteger(count) || count < 1)
    throw new InvalidArgumentError('A whole number above 0 is needed.');
  return count;
}

function parseFamilies(text) {
  const names = text.split(',');
  const unknown = names.filter((name) => !families.includes(name));
  if (unknown.length > 0) throw new InvalidArgumentError(`Known: ${families.join(', ')}.`);
  return names;
}

function parseModel(text) {
  if (!Object.hasOwn(models, text))
    throw new InvalidArgumentError(`Known: ${Object.keys(models).join(', ')}.`);
  return text;
}

function parseFlags() {
  return new Command('bench:peers')
    .description('measures Kvasir and its peers in turn, and says which targets are reached')
    .option('--install', 'set up the folder of the peers and measure nothing')
    .option(
      '--scratch <folder>',
      'where the peers are',
      process.env.KVASIR_PEERS ?? join(projectRoot, 'build', 'peers'),
    )
    .option('--model <name>', Object.keys(models).join(' or '), parseModel, 'smollm2-135m')
    .option('--threads <count>', 'of every engine', parseCount, 2)
    .option('--rounds <count>', 'samples of each', parseCount, 3)
    .option('--only <families>', `some of ${families.join(',')}`, parseFamilies, families)
    .option('--json <file>', 'write everything that was measured')
    .option('--markdown <page>', 'add the run to a page, such as docs/benchmarks.md')
    .option('--quick', 'one round, without the works of 2,048 tokens')
    .parse()
    .opts();
}

async function main() {
  const flags = parseFlags();
  const scratch = resolve(flags.scratch);
  for (const product of ['dist/index.js', 'build/Release/kvasir_testing.node']) {
    if (existsSync(join(projectRoot, product))) continue;
    say(`There is no ${product}: run npm run build:testing first.`);
    return 1;
  }
  // A run takes an hour: a page that cannot take it is an error before.
  if (flags.markdown) withSection(readFileSync(flags.markdown, 'utf8'), '## none\n');
  say(`Peers in ${scratch}`);
  const failed = await install({ scratch, model: flags.model, wanted: flags.only });
  if (flags.install) return failed.size > 0 ? 1 : 0;
  const report = await compare(flags, scratch, failed);
  process.stdout.write(`${layout(report)}\n`);
  if (flags.json) writeFileSync(flags.json, `${JSON.stringify(report, null, 2)}\n`);
  if (flags.markdown) addToPage(flags.markdown, report);
  return 0;
}

function addToPage(path, report) {
  const git = (...args) => execFileSync('git', args, { cwd: projectRoot, encoding: 'utf8' }).trim();
  const changed = git('status', '--porcelain', '--untracked-files=no') === '' ? '' : ', changed';
  const commit = `${git('rev-parse', '--short', 'HEAD')}${changed}`;
  const section = sectionOf(report, { date: new Date().toISOString().slice(0, 10), commit });
  writeFileSync(path, withSection(readFileSync(path, 'utf8'), section));
}

async function compare(flags, scratch, failed) {
  const { model, threads, only } = flags;
  const isBig = model === '1b';
  const chosen = isBig ? targets1b : targets;
  const wanted = (engine) => only.includes(familyOf(engine)) && isMade(engine, isBig);
  const pairs = pairsOf(chosen).filter(
    ({ work, engine }) => wanted(engine) && !(flags.quick && works[work].long),
  );
  const began = performance.now();
  const loadBefore = loadavg();
  const show = new Step('measuring');
  const comparison = new Comparison({
    scratch,
    model,
    threads,
    rounds: flags.quick ? 1 : flags.rounds,
    show,
  });
  for (const { engine } of pairs) {
    const reason = failed.get(familyOf(engine));
    if (reason) comparison.missing.set(engine, reason);
  }
  try {
    const names = await singlesFor(comparison, { isBig, only, failed });
    await comparison.start(pairs);
    await comparison.run(pairs, names);
    show.done();
  } finally {
    comparison.close();
  }
  return describeRun(comparison, {
    targets: chosen,
    loadBefore,
    seconds: (performance.now() - began) / 1000,
  });
}

/** Of the bigger shape there is one GGUF file, for llama.cpp and Kvasir. */
function isMade(engine, isBig) {
  return !isBig || /^(kvasir-int8|llama-q8_0|node-llama-cpp-q8_0)/.test(engine);
}

async function singlesFor(comparison, { isBig, only, failed }) {
  if (isBig) return [];
  const names = Object.keys(singles).filter((name) => {
    if (name === 'load-node-llama-cpp')
      return only.includes('node-llama-cpp') && !failed.has('node-llama-cpp');
    return only.includes('kvasir');
  });
  const withoutForm = only.includes('kvasir') && (await prepareQuantized(comparison.options));
  if (!withoutForm) return names;
  for (const name of names.filter((one) => one.endsWith('quantized')))
    comparison.missing.set(name, withoutForm);
  return names.filter((name) => !comparison.missing.has(name));
}

await runMain(main);

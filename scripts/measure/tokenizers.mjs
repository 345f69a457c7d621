/**
 * Our tokenizer beside the reference (Rust `tokenizers`, through Python), each on one core, one vocabulary after the other.
 *
 * usage: node scripts/measure/tokenizers.mjs speed PYTHON TOKENIZER.json...
 *        node scripts/measure/tokenizers.mjs ready PYTHON TOKENIZER.json...|MODEL.gguf...
 *        node scripts/measure/tokenizers.mjs differences PYTHON COUNT TOKENIZER.json...
 *
 * `speed` prints a table, of processor time, all threads of the process together, so that neighbours matter less: prose (1 MB of texts/), 100 KB of one character, and how long until the tokenizer is ready.
 * `ready` prints how long `Tokenizer.load` takes in a fresh process, its thread's start included: from tokenizer.json, and from
 * the tables of the INT8 form beside it, with the configuration that is there; and the same of `from_file`, and of reading the
 * file and parsing its JSON. Milliseconds of processor time, and in brackets by the clock; the least of five.
 * `differences` encodes COUNT seeded random strings with both, prints the first that differs, and fails when one does.
 */
import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { compiledName } from '../../dist/tokenizer/compiled-tables.js';
import { EncodingPipeline } from '../../dist/tokenizer/encoding-pipeline.js';
import { Tokenizer } from '../../dist/tokenizer/tokenizer.js';
import { definitionFromFiles } from '../../dist/tokenizer/tokenizer-files.js';
import { compileTokenizerJson } from '../../dist/tokenizer/vocabulary-json.js';
import { randomStrings } from './random-strings.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const reference = join(root, 'scripts/measure/tokenizers_reference.py');
const [mode, python, ...rest] = process.argv.slice(2);
const scratch = mkdtempSync(join(tmpdir(), 'kvasir-tokenizers-'));
process.on('exit', () => rmSync(scratch, { recursive: true }));

function nameOf(path) {
  const folder = dirname(path);
  return basename(folder) === 'models' ? basename(dirname(folder)) : basename(folder);
}

function write(name, value) {
  const path = join(scratch, name);
  writeFileSync(path, JSON.stringify(value));
  return path;
}

function load(path) {
  return new EncodingPipeline(definitionFromFiles({ kind: 'tokenizer-json', path }));
}

function best(times, work) {
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; i < times; ++i) {
    const start = process.cpuUsage();
    work();
    const { user, system } = process.cpuUsage(start);
    least = Math.min(least, (user + system) / 1000);
  }
  return least;
}

function prose() {
  const folder = join(root, 'texts');
  const files = readdirSync(folder).filter((name) => name.endsWith('.txt') || name.endsWith('.md'));
  const all = files.map((name) => readFileSync(join(folder, name), 'utf8')).join('\n');
  return all.repeat(Math.ceil(1e6 / all.length)).slice(0, 1e6);
}

function speed(paths) {
  const texts = [prose(), ...[' ', 'a', '='].map((character) => character.repeat(100_000))];
  const file = write('texts.json', texts);
  console.log(
    '| vocabulary | prose MB/s | reference | ratio | spaces ms | a ms | = ms | ready ms | from_file ms | read + parse ms |',
  );
  console.log('|---|---|---|---|---|---|---|---|---|---|');
  for (const path of paths) {
    const theirs = JSON.parse(execFileSync(python, [reference, 'speed', path, file]).toString());
    const parse = best(2, () => JSON.parse(readFileSync(path, 'utf8')));
    const ready = best(2, () => load(path));
    const pipeline = load(path);
    const ours = texts.map((text) => best(3, () => pipeline.encode(text, { addSpecialTokens: true })) / 1000);
    const rate = (seconds) => Buffer.byteLength(texts[0]) / 1e6 / seconds;
    const long = [1, 2, 3].map(
      (i) => `${(1000 * ours[i]).toFixed(0)} / ${(1000 * theirs.seconds[i]).toFixed(0)}`,
    );
    const cells = [
      nameOf(path),
      rate(ours[0]).toFixed(1),
      rate(theirs.seconds[0]).toFixed(1),
      (theirs.seconds[0] / ours[0]).toFixed(1),
      ...long,
      ready.toFixed(0),
      (1000 * theirs.load).toFixed(0),
      parse.toFixed(0),
    ];
    console.log(`| ${cells.join(' | ')} |`);
  }
}

/** In this process, which has done nothing else. */
async function measureOnce(work, path) {
  const works = {
    parse: () => JSON.parse(readFileSync(path, 'utf8')),
    load: async () => {
      const source = { kind: path.endsWith('.gguf') ? 'gguf' : 'tokenizer-json', path };
      const configPath = join(dirname(path), 'tokenizer_config.json');
      const tokenizer = await Tokenizer.load(existsSync(configPath) ? { ...source, configPath } : source);
      void tokenizer.dispose();
    },
  };
  const [start, clock] = [process.cpuUsage(), performance.now()];
  await works[work]();
  const [{ user, system }, end] = [process.cpuUsage(start), performance.now()];
  console.log(JSON.stringify({ cpu: (user + system) / 1000, clock: end - clock }));
}

/** The least of five processes. */
function inProcesses(work, path) {
  const script = fileURLToPath(import.meta.url);
  const runs = Array.from({ length: 5 }, () =>
    JSON.parse(execFileSync(process.execPath, [script, 'once', work, path]).toString()),
  );
  return { cpu: Math.min(...runs.map(({ cpu }) => cpu)), clock: Math.min(...runs.map(({ clock }) => clock)) };
}

/** The files of a folder in the INT8 form. */
function withTables(path) {
  const folder = mkdtempSync(join(scratch, 'int8-'));
  const names = ['tokenizer.json', 'tokenizer_config.json'];
  for (const name of names) {
    if (existsSync(join(dirname(path), name))) copyFileSync(join(dirname(path), name), join(folder, name));
  }
  const tables = compileTokenizerJson(readFileSync(path));
  if (tables === undefined) throw new Error(`${path} has no tables`);
  writeFileSync(join(folder, compiledName), tables);
  return join(folder, 'tokenizer.json');
}

function ready(paths) {
  const shown = ({ cpu, clock }) => `${cpu.toFixed(0)} (${clock.toFixed(0)})`;
  const nothing = write('none.json', []);
  console.log('| vocabulary | ready | with tables | from_file | read + parse |');
  console.log('|---|---|---|---|---|');
  for (const path of paths) {
    const cells = [shown(inProcesses('load', path))];
    if (!path.endsWith('.gguf')) {
      const loads = Array.from({ length: 3 }, () =>
        JSON.parse(execFileSync(python, [reference, 'speed', path, nothing]).toString()),
      );
      const least = Math.min(...loads.map(({ load }) => 1000 * load));
      cells.push(shown(inProcesses('load', withTables(path))), least.toFixed(0));
      cells.push(shown(inProcesses('parse', path)));
    }
    console.log(`| ${nameOf(path)} | ${cells.join(' | ')} |`);
  }
}

function differences(count, paths) {
  const texts = randomStrings(count);
  const file = write('texts.json', texts);
  const out = join(scratch, 'ids.json');
  let failed = false;
  for (const path of paths) {
    execFileSync(python, [reference, 'ids', path, file, out]);
    const expected = JSON.parse(readFileSync(out, 'utf8'));
    const pipeline = load(path);
    const wrong = texts.flatMap((text, i) => {
      const ids = Array.from(pipeline.encode(text, { addSpecialTokens: true }));
      return ids.join() === expected[i].join() ? [] : [{ text, ids, expected: expected[i] }];
    });
    console.log(`${nameOf(path)}: ${wrong.length} of ${count} differ`);
    if (wrong.length > 0) console.log(JSON.stringify(wrong[0]));
    failed ||= wrong.length > 0;
  }
  process.exitCode = failed ? 1 : 0;
}

if (mode === 'speed') speed(rest);
else if (mode === 'ready') ready(rest);
else if (mode === 'once') await measureOnce(python, rest[0]);
else if (mode === 'differences') differences(Number(rest[0]), rest.slice(1));
else throw new Error('usage: tokenizers.mjs speed|ready PYTHON FILE... | differences PYTHON COUNT FILE...');

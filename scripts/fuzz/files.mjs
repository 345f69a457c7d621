// A small model with something wrong in its files: bytes, JSON, what a name stands for. It is loaded, speaks, and goes.
import { execFileSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Model } from '../../dist/index.js';
import { randomTemplate, randomText, randomValue } from './content.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const families = join(root, 'test', 'fixtures', 'families');
const folders = [
  ...readdirSync(families).map((name) => join(families, name)),
  join(root, 'models', 'stories-260k'),
  join(root, 'models', 'nano-gpt-sort'),
].filter((folder) => existsSync(join(folder, 'config.json')));
const loaded = /^(config|generation_config|tokenizer|tokenizer_config)\.json$|\.safetensors$/;

/** Flips, cuts, doubles or blanks some of it, mostly in front, where headers are. */
function mutateBytes(random, bytes) {
  let changed = Buffer.from(bytes);
  for (let i = 0; i <= random.below(2); ++i) {
    const reach = random.chance(0.5) ? Math.min(changed.length, 4096) : changed.length;
    const at = random.below(Math.max(1, reach));
    const length = random.below(64);
    const tail = changed.subarray(at + length);
    changed = random.pick([
      () => Buffer.concat([changed.subarray(0, at), tail]),
      () => Buffer.concat([changed.subarray(0, at + length), changed.subarray(at)]),
      () => changed.subarray(0, at),
      () => Buffer.concat([changed.subarray(0, at), Buffer.alloc(length, random.below(256)), tail]),
      () => {
        const flipped = Buffer.from(changed);
        if (flipped.length > at) flipped[at] ^= 1 << random.below(8);
        return flipped;
      },
      () => {
        const number = Buffer.from(changed);
        if (number.length >= at + 8)
          number.writeBigUInt64LE(random.pick([0n, 1n, 2n ** 31n, 2n ** 63n, 2n ** 64n - 1n]), at);
        return number;
      },
    ])();
  }
  return changed;
}

/** Puts something else somewhere into a value. */
function mutateJson(random, value, depth = 0) {
  if (typeof value !== 'object' || value === null || (depth > 0 && random.chance(0.3)))
    return randomValue(random, 3);
  const names = Object.keys(value);
  if (names.length === 0) return randomValue(random, 3);
  const name = random.pick(names);
  const copy = Array.isArray(value) ? [...value] : { ...value };
  if (random.chance(0.15)) delete copy[name];
  else if (random.chance(0.1)) copy[random.pick(names)] = value[name];
  else if (random.below(10) === 0) copy[randomText(random, 10)] = randomValue(random, 3);
  else copy[name] = mutateJson(random, value[name], depth + 1);
  return copy;
}

function mutateText(random, bytes) {
  let value;
  try {
    value = JSON.parse(bytes.toString());
  } catch {
    return mutateBytes(random, bytes);
  }
  for (let i = 0; i <= random.below(2); ++i) value = mutateJson(random, value);
  return Buffer.from(JSON.stringify(value) ?? 'undefined');
}

/** Something that is no file. */
function replace(random, path) {
  rmSync(path);
  random.pick([
    () => {},
    () => mkdirSync(path),
    () => symlinkSync(path, path),
    () => symlinkSync('/dev/zero', path),
    () => execFileSync('mkfifo', [path]),
    () => writeFileSync(path, ''),
  ])();
}

function mutateFile(random, path) {
  if (random.chance(0.07)) return replace(random, path);
  const bytes = readFileSync(path);
  const json = path.endsWith('.json') && random.chance(0.85);
  writeFileSync(path, json ? mutateText(random, bytes) : mutateBytes(random, bytes));
}

/** @returns a path to load */
function makeModel(random, folder) {
  const source = random.pick(folders);
  const gguf = readdirSync(source).find((name) => name.endsWith('.gguf'));
  mkdirSync(folder);
  if (gguf !== undefined && random.chance(0.3)) {
    writeFileSync(join(folder, gguf), mutateBytes(random, readFileSync(join(source, gguf))));
    return join(folder, gguf);
  }
  const names = readdirSync(source).filter((name) => loaded.test(name));
  for (const name of names) cpSync(join(source, name), join(folder, name));
  if (random.chance(0.2)) writeFileSync(join(folder, 'chat_template.jinja'), randomTemplate(random));
  for (let i = 0; i <= (random.chance(0.2) ? 1 : 0); ++i) {
    const left = names.filter((name) => existsSync(join(folder, name)));
    if (left.length > 0) mutateFile(random, join(folder, random.pick(left)));
  }
  return folder;
}

export async function fuzzFiles({ random, folder }) {
  const path = makeModel(random, folder);
  const dtype = random.pick(['int8', 'fp32']);
  const model = await Model.load(path, { dtype, threads: 1, contextLength: random.pick([undefined, 16]) });
  try {
    const options = { maxTokens: 3, seed: 1 };
    await model.generate(random.chance(0.5) ? randomText(random, 12) || 'a' : 'Hello', options);
    if (model.tokenizer.chatTemplate !== undefined)
      await model.generate([{ role: 'user', content: 'Hi' }], options);
  } finally {
    await model.dispose();
  }
}

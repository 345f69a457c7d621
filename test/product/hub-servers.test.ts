/** Servers that send too much, nothing, something else or for ever, and disks and links that are in the way. */
import {
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { execFileSync } from 'node:child_process';
import type { ServerResponse } from 'node:http';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { KvasirError } from '../../lib/errors.js';
import { pull } from '../../lib/hub/index.js';
import { type FileRequest, flood, sha256 } from './hub-fake.js';
import { blob, bytes, failure, folder, home, hub, pulled, quick, weights } from './pull-hub.js';

const onWeights = (answer: (request: FileRequest) => void): void => {
  hub.onFile = (request) => {
    if (request.name === 'model.safetensors') answer(request);
    else request.serve();
  };
};
const tries = (): number => hub.fileRequests('model.safetensors').length;
const abortIn = (ms: number, reason: Error): AbortSignal => {
  const controller = new AbortController();
  setTimeout(() => controller.abort(reason), ms);
  return controller.signal;
};
const partial = (): string => `${blob()}.incomplete`;
const retries = quick.retryDelays!.length;

/** Fails with DOWNLOAD after no more requests than there are pauses, and one; gives its message. */
async function expectDownload(options = {}, most = retries + 1): Promise<string> {
  const error = await failure(options);
  expect(error).toMatchObject({ name: 'KvasirError', code: 'DOWNLOAD' });
  expect(tries()).toBeLessThanOrEqual(most);
  expect(existsSync(blob())).toBe(false);
  return error.message;
}

describe('a body that is not the file', () => {
  test('one that never ends is left at the first byte too many', async () => {
    const taken = { bytes: 0 };
    onWeights((request) => flood(request, taken));
    expect(await expectDownload()).toMatch(/more than the expected 400000 bytes/);
    // What the kernel holds for both sides comes on top, each time.
    expect(taken.bytes).toBeLessThan((retries + 1) * (weights.length + (8 << 20)));
    expect(existsSync(partial())).toBe(false);
  });

  test('one that is compressed is refused at once, the right content and a bomb', async () => {
    for (const content of [gzipSync(weights), gzipSync(Buffer.alloc(50_000_000))]) {
      onWeights(({ response }) => response.writeHead(200, { 'content-encoding': 'gzip' }).end(content));
      expect(await expectDownload()).toMatch(/compressed \(gzip\)/);
    }
    expect(tries()).toBe(2);
  });

  test.each([
    ['none', Buffer.alloc(0)],
    ['a short one', weights.subarray(0, 1000)],
    ['a long one', Buffer.concat([weights, Buffer.alloc(1000)])],
  ])('%s, with its length and without', async (_, content) => {
    onWeights(({ response, attempt }) => {
      response.writeHead(200, attempt % 2 ? { 'content-length': content.length } : {}).end(content);
    });
    await expectDownload();
  });

  test('one of the right length with other bytes', async () => {
    onWeights(({ response }) => response.writeHead(200).end(bytes(weights.length, 9)));
    expect(await expectDownload()).toMatch(/damaged/);
    expect(readdirSync(join(folder(), 'blobs')).filter((name) => name.includes('.'))).toEqual([]);
  });

  test('one that starts again for ever, a little further each time', async () => {
    let sent = 0;
    onWeights(({ response, attempt }) => {
      // Without Range, and cut: what came before is worth nothing.
      const end = Math.min(weights.length - 1, 1000 * attempt);
      sent += end;
      response.writeHead(200, { 'content-length': weights.length });
      response.write(weights.subarray(0, end), () => setTimeout(() => response.destroy(), 20));
    });
    expect(await expectDownload()).toMatch(/cut off/);
    expect(sent).toBeLessThan(weights.length);
  });

  test('one that gets much further each time, and never to the end, is left after four times its size', async () => {
    const large = bytes(4_000_000, 3);
    hub.files.set('model.safetensors', { content: large, lfs: true });
    let sent = 0;
    onWeights(({ response, attempt }) => {
      const end = Math.min(large.length - 1, 700_000 + 70_000 * attempt);
      sent += end;
      response.writeHead(200, { 'content-length': large.length });
      response.write(large.subarray(0, end), () => setTimeout(() => response.destroy(), 20));
    });
    expect((await failure()).code).toBe('DOWNLOAD');
    expect(sent).toBeLessThan(4 * large.length + (3 << 20));
    expect(sent).toBeGreaterThan(3 * large.length);
  });

  test('a byte now and then keeps no connection', async () => {
    const timers: NodeJS.Timeout[] = [];
    onWeights(({ response }) => {
      response.writeHead(200, { 'content-length': weights.length });
      timers.push(setInterval(() => response.write('x'), 20));
    });
    expect(await expectDownload({ stallMs: 150 })).toMatch(/no data came/);
    for (const timer of timers) clearInterval(timer);
  });

  test('one that stops coming is left even where fetch does not hear of the abort', async () => {
    const real = globalThis.fetch;
    let cancelled = 0;
    globalThis.fetch = async (url, init) => {
      if (!String(url).endsWith('model.safetensors')) return real(url, init);
      if (new Headers(init?.headers).has('range')) return new Promise(() => {});
      const start = (controller: ReadableStreamDefaultController): void =>
        controller.enqueue(weights.subarray(0, 5000));
      const cancel = (): void => void ++cancelled;
      return new Response(new ReadableStream({ start, cancel }));
    };
    try {
      expect((await failure({ stallMs: 100 })).message).toMatch(/no data came/);
      const gone = new Error('gone');
      await expect(pulled({ signal: abortIn(300, gone) })).rejects.toBe(gone);
    } finally {
      globalThis.fetch = real;
    }
    expect(cancelled).toBe(1);
  });

  test.each([['file:///etc/passwd'], ['https://user:word@127.0.0.1/x'], ['http://['], ['?itself']])(
    'a redirect to %s',
    async (location) => {
      onWeights(({ response }) => response.writeHead(302, { location }).end());
      const message = await expectDownload({}, 6);
      expect(message).not.toContain('word');
    },
  );
});

describe('a listing', () => {
  const answers: [string, (response: ServerResponse) => void, RegExp][] = [
    ['without end', (response) => flood({ response } as FileRequest, { bytes: 0 }), /does not end/],
    [
      'of pages without end',
      (response) => {
        const link = `<${hub.url}/api/models/org/name/tree/${hub.revision}>; rel="next"`;
        response.writeHead(200, { 'content-type': 'application/json', link }).end('[]');
      },
      /more than 200 pages/,
    ],
    ['that is a number', (response) => response.end('5'), /does not answer as a hub/],
    ['that is no JSON', (response) => response.end('<html>'), /does not answer as a hub/],
    ['of nothing', (response) => response.end('[null,{},5]'), /cannot be loaded/],
    ['of a file without size', (response) => response.end('[{"type":"file","path":"a"}]'), /without name/],
    [
      'with an error without end',
      (response) => flood({ response: withStatus(response, 500) } as FileRequest, { bytes: 0 }),
      /does not end/,
    ],
  ];
  /** The first head counts. */
  const withStatus = (response: ServerResponse, status: number): ServerResponse => {
    response.writeHead(status, { 'content-type': 'application/json' });
    response.writeHead = () => response;
    return response;
  };

  test.each(answers)('%s', async (_, answer, message) => {
    hub.onListing = answer;
    const error = await failure();
    expect(error).toBeInstanceOf(KvasirError);
    expect(['DOWNLOAD', 'MODEL_NOT_FOUND']).toContain(error.code);
    expect(error.message).toMatch(message);
    expect(error.message.length).toBeLessThan(1000);
  });
});

describe('a secret is never told', () => {
  const secret = 'hf_secret';

  test.each([[`${secret}\nx`], [`${secret}\r\nevil: 1`], [`${secret} x`], [`${secret}\u00e9\u2028`]])(
    'a token with a character that is none: %j',
    async (token) => {
      process.env.HF_TOKEN = token;
      const error = await failure();
      expect(error.code).toBe('INVALID_OPTION');
      expect(error.message).toMatch(/HF_TOKEN/);
      expect(`${error.stack} ${JSON.stringify(error)} ${error.cause}`).not.toContain(secret);
      expect(hub.requests).toEqual([]);
    },
  );

  test('an endpoint with a password', async () => {
    for (const url of [`http://me:${secret}@127.0.0.1:${hub.port}`, `ftp://me:${secret}@host`]) {
      process.env.HF_ENDPOINT = url;
      const error = await failure();
      expect(error.code).toBe('INVALID_OPTION');
      expect(`${error.stack} ${JSON.stringify(error)} ${error.cause}`).not.toContain(secret);
    }
  });

  test('a hub that fails, in every way above', async () => {
    process.env.HF_TOKEN = secret;
    for (const status of [400, 401, 404, 429, 500]) {
      onWeights(({ response }) => response.writeHead(status).end());
      const error = await failure();
      expect(`${error.stack} ${JSON.stringify(error)} ${error.cause}`).not.toContain(secret);
    }
  });
});

describe('what stands where the file must go', () => {
  const put = (make: (path: string) => void, path = partial()): string => {
    mkdirSync(join(folder(), 'blobs'), { recursive: true });
    make(path);
    return path;
  };

  test.each([
    ['link', (target: string, path: string) => symlinkSync(target, path)],
    ['hard link', (target: string, path: string) => linkSync(target, path)],
  ])('a %s under .incomplete or .etag is not followed', async (_, make) => {
    const target = join(home, 'precious');
    writeFileSync(target, 'precious');
    put((path) => make(target, path));
    put((path) => make(target, path), `${blob()}.etag`);
    await pulled();
    expect(readFileSync(target, 'utf8')).toBe('precious');
    expect(readFileSync(blob()).equals(weights)).toBe(true);
    // The first request asks for all: nothing of the target was taken for a part.
    expect(hub.fileRequests('model.safetensors').map(({ range }) => range)).toEqual([undefined]);
  });

  test('a pipe under .incomplete is not waited for', async () => {
    put((path) => execFileSync('mkfifo', [path]));
    await pulled();
    expect(statSync(blob()).isFile()).toBe(true);
  });

  test.each([
    ['.incomplete', partial],
    ['the blob', blob],
    ['.lock', () => `${blob()}.lock`],
    ['the snapshot', () => join(folder(), 'snapshots', hub.revision, 'model.safetensors')],
    ['refs/main', () => join(folder(), 'refs', 'main')],
  ])('a folder in place of %s is named', async (_, path) => {
    mkdirSync(join(path(), 'full'), { recursive: true });
    const error = await failure({ staleMs: 300 });
    expect(error).toMatchObject({ name: 'KvasirError', code: 'DOWNLOAD' });
    expect(error.message).toContain(path());
    expect(error.message).toMatch(/Remove it/);
  });

  test('a file in place of the cache is named', async () => {
    writeFileSync(join(home, 'hub'), '');
    const error = await failure();
    expect(error.code).toBe('DOWNLOAD');
    expect(error.message).toContain(join(home, 'hub'));
  });

  test('an earlier run that was killed while it copied leaves nothing for good', async () => {
    const orphans = [`${partial()}.${crypto.randomUUID()}`, `${blob()}.${crypto.randomUUID()}.whole`];
    for (const orphan of orphans) put((path) => writeFileSync(path, 'x'), orphan);
    await pulled();
    expect(readdirSync(join(folder(), 'blobs')).filter((name) => name.includes('.'))).toEqual([]);
  });
});

describe('a file that changed after it was verified', () => {
  const later = (): void => utimesSync(blob(), new Date(), new Date(Date.now() + 10_000));

  test('is fetched again where its bytes changed', async () => {
    await pulled();
    writeFileSync(blob(), bytes(weights.length, 5));
    later();
    expect(await failure({ download: false })).toMatchObject({
      code: 'MODEL_NOT_FOUND',
      message: expect.stringMatching(/damaged/),
    });
    const again = await pulled();
    expect(again.downloadedBytes).toBe(weights.length);
    expect(readFileSync(blob()).equals(weights)).toBe(true);
  });

  test('is fetched again where it is shorter', async () => {
    await pulled();
    writeFileSync(blob(), weights.subarray(0, 1000));
    expect((await pulled()).downloadedBytes).toBe(weights.length);
  });

  test('is taken as it is where only its time changed, and noted', async () => {
    await pulled();
    later();
    const asked = hub.requests.length;
    expect((await pulled()).origin).toBe('cache');
    const noted = readFileSync(join(folder(), '.verified', sha256(weights)), 'utf8');
    expect(noted).toBe(`${weights.length} ${statSync(blob(), { bigint: true }).mtimeNs}`);
    expect(hub.requests).toHaveLength(asked);
  });

  test('of the Python tools, which note nothing, is taken from the cache, and verified beside the hub', async () => {
    mkdirSync(join(folder(), 'blobs'), { recursive: true });
    writeFileSync(blob(), bytes(weights.length, 5));
    expect((await pulled()).downloadedBytes).toBeGreaterThan(weights.length);
    expect(readFileSync(blob()).equals(weights)).toBe(true);
  });
});

test('a cache that can only be read serves what it has, changed times too, and refuses what it lacks', async () => {
  await pulled();
  utimesSync(blob(), new Date(), new Date(Date.now() + 10_000));
  hub.files.set('a.gguf', { content: weights, lfs: true });
  execFileSync('chmod', ['-R', 'a-w', home]);
  chmodSync(home, 0o555);
  const asRoot = process.geteuid?.() === 0;
  if (asRoot) process.seteuid!(65534);
  try {
    expect((await pulled()).origin).toBe('cache');
    const error: KvasirError = await pull('hf:org/name:a.gguf', quick).then(
      () => expect.fail('nothing can be written'),
      (cause) => cause,
    );
    expect(error).toMatchObject({ name: 'KvasirError', code: 'DOWNLOAD' });
    expect(error.message).toContain(folder());
    expect(error.message).toMatch(/HF_HOME/);
  } finally {
    if (asRoot) process.seteuid!(0);
    execFileSync('chmod', ['-R', 'u+w', home]);
  }
});

test("what the caller's onProgress throws ends the pull with just that", async () => {
  const mine = new Error('mine');
  const onProgress = (): void => {
    throw mine;
  };
  await expect(pulled({ onProgress })).rejects.toBe(mine);
  expect(tries()).toBeLessThanOrEqual(1);
});

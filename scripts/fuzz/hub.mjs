// A hub that serves, fails and lies at random. Either the bytes that it listed are in the cache, or an error says why not.
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { pull } from '../../dist/hub/index.js';
import { randomText, randomValue } from './content.mjs';

const revision = 'a'.repeat(40);
const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');
const gitSha1 = (bytes) => createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex');

function randomFiles(random) {
  const content = () => Buffer.alloc(random.pick([0, 1, 1000, 70_000, 300_000]), random.below(256));
  const names = [
    'config.json',
    'tokenizer.json',
    'model.safetensors',
    'a.gguf',
    'm-00001-of-00002.gguf',
    '../x',
    'a\\b',
  ];
  const files = new Map(random.several(5, () => [random.pick(names), content()]));
  if (random.chance(0.8)) for (const name of names.slice(0, 3)) files.set(name, content());
  return files;
}

function listingOf(random, files) {
  const entries = [...files].map(([path, bytes]) => {
    const lfs = random.chance(0.5);
    const entry = { type: 'file', path, size: bytes.length, oid: gitSha1(bytes) };
    if (lfs) entry.lfs = { oid: sha256(bytes), size: bytes.length, pointerSize: 100 };
    if (random.chance(0.05))
      entry[random.pick(['size', 'oid', 'lfs', 'path', 'type'])] = randomValue(random, 2);
    return entry;
  });
  return random.chance(0.05) ? randomValue(random, 3) : entries;
}

/** One answer for the bytes of a file, more often good than not. */
function serveFile(random, bytes, request, response) {
  const from = Number(/^bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0);
  const ranged = from > 0 && from < bytes.length && random.chance(0.7);
  const part = ranged ? bytes.subarray(from) : bytes;
  const headers = ranged ? { 'content-range': `bytes ${from}-${bytes.length - 1}/${bytes.length}` } : {};
  if (random.chance(0.5)) headers.etag = random.pick(['"a"', 'W/"b"', '"c"', '', 'x'.repeat(1000)]);
  const send = (body, status = ranged ? 206 : 200, more = {}) => {
    response.writeHead(status, { ...headers, ...more });
    response.end(body);
  };
  const cut = random.below(part.length + 1);
  const bad = [
    () => send(part, random.pick([201, 206, 304, 400, 403, 404, 416, 429, 500, 503])),
    () => send(Buffer.concat([part, Buffer.alloc(random.between(1, 100_000))])),
    () => send(part.subarray(0, cut)),
    () => send(gzipSync(part), undefined, { 'content-encoding': random.pick(['gzip', 'br', 'nonsense']) }),
    () =>
      send('', 302, {
        location: random.pick([
          request.url,
          '/nowhere',
          'file:///etc/passwd',
          'http://[',
          '//x:y@127.0.0.1/',
        ]),
      }),
    () => send(Buffer.alloc(part.length, 255)),
    () => response.destroy(),
    () => {
      response.writeHead(ranged ? 206 : 200, { ...headers, 'content-length': part.length });
      response.write(part.subarray(0, cut), () => setTimeout(() => response.destroy(), 5));
    },
    // Nothing more comes.
    () => response.writeHead(200, headers).write(part.subarray(0, cut)),
    () => response.writeHead(200, { ...headers, 'content-length': random.pick([0, 1, 10 ** 15]) }).end(part),
  ];
  if (random.chance(0.3)) random.pick(bad)();
  else send(part);
}

function answer(random, files, listing, request, response) {
  const path = decodeURIComponent(new URL(request.url, 'http://hub').pathname);
  const json = (value) => response.end(JSON.stringify(value) ?? '');
  if (path.startsWith('/api/') && random.chance(0.06)) {
    const status = random.pick([200, 401, 404, 429, 500]);
    response
      .writeHead(status, { 'content-type': 'application/json' })
      .end(random.pick(['', '{', 'null', '5', '[[]]', randomText(random, 5)]));
  } else if (path.endsWith('/revision/main')) {
    json({ _id: '1', id: 'org/name', sha: random.chance(0.03) ? randomValue(random, 1) : revision });
  } else if (path.includes('/tree/')) json(listing);
  else {
    const bytes = files.get(path.slice(`/org/name/resolve/${revision}/`.length));
    if (bytes === undefined) response.writeHead(404).end();
    else serveFile(random, bytes, request, response);
  }
}

/** Every file that a pull names is what was listed. */
function check({ files }, listed) {
  for (const path of files.weights) {
    const name = path.slice(files.root.length + 1);
    const right = listed.get(name);
    if (right === undefined || !readFileSync(path).equals(right))
      throw new Error(`${name} has other bytes than the hub`);
  }
}

export async function fuzzHub({ random, folder }) {
  const files = randomFiles(random);
  const listing = listingOf(random, files);
  const server = createServer((request, response) => {
    response.on('error', () => {});
    answer(random, files, listing, request, response);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  process.env.HF_HOME = folder;
  process.env.HF_ENDPOINT = `http://127.0.0.1:${server.address().port}`;
  process.env.HF_TOKEN = random.chance(0.1) ? randomText(random, 3).replaceAll('\0', '') : '';
  const reference = random.pick([
    'hf:org/name',
    'hf:org/name',
    'hf:org/name:a.gguf',
    'hf:org/name:m-00001-of-00002.gguf',
  ]);
  const options = { retryDelays: [1, 1, 1], stallMs: 100 };
  try {
    const both = [pull(reference, options), random.chance(0.3) ? pull(reference, options) : undefined];
    const ends = await Promise.allSettled(both);
    for (const { status, value } of ends)
      if (status === 'fulfilled' && value !== undefined) check(value, files);
    const failed = ends.find(({ status }) => status === 'rejected');
    if (failed) throw failed.reason;
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}

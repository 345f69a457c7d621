/** pull() where the hub, the disk or the caller says no. */
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import type { KvasirError } from '../../lib/errors.js';
import { blob, failure, folder, home, hub, pulled, weights } from './pull-hub.js';

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
  const pulling = expect(pulled({ signal: controller.signal })).rejects.toBe(reason);
  const partial = `${blob()}.incomplete`;
  while (!existsSync(partial) || statSync(partial).size < 80_000) await sleep(10);
  controller.abort(reason);
  await pulling;
  expect(existsSync(blob())).toBe(false);
  expect(readdirSync(join(folder(), 'blobs')).filter((name) => name.endsWith('.lock'))).toEqual([]);
  hub.onFile = ({ serve }) => serve();
  await pulled();
  expect(hub.fileRequests('model.safetensors').at(-1)!.range).toBe('bytes=80000-');
});

/** What the tests of pull() stand on: a fake hub with one model, and an empty cache in a folder of its own. */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect } from 'vitest';
import type { KvasirError } from '../../lib/errors.js';
import { pull, type ResolveOptions } from '../../lib/hub/index.js';
import { FakeHub, sha256 } from './hub-fake.js';

/** Content that no two offsets share. */
export function bytes(length: number, seed: number): Buffer {
  const content = Buffer.alloc(length);
  for (let i = 0, state = seed; i < length; ++i) {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    content[i] = state >> 16;
  }
  return content;
}

export const weights = bytes(400_000, 7);
export const config = Buffer.from('{"model_type":"llama"}');
const variables = [
  'HF_HOME',
  'HF_HUB_CACHE',
  'HUGGINGFACE_HUB_CACHE',
  'HF_ENDPOINT',
  'HF_TOKEN',
  'HF_HUB_OFFLINE',
];
export const quick: ResolveOptions = { retryDelays: [5, 5, 5], stallMs: 5000 };

export let hub: FakeHub;
export let home: string;
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

export const folder = (): string => join(home, 'hub', 'models--org--name');
export const blob = (content = weights): string => join(folder(), 'blobs', sha256(content));
export const pulled = (options: ResolveOptions = {}): ReturnType<typeof pull> =>
  pull('hf:org/name', { ...quick, ...options });

export async function failure(options: ResolveOptions = {}, reference = 'hf:org/name'): Promise<KvasirError> {
  return pull(reference, { ...quick, ...options }).then(
    () => expect.fail('the pull should have failed'),
    (error) => error,
  );
}

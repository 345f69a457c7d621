/** A tokenizer's thread serves the next one, but only a quiet thread does, and one tokenizer at a time. */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Worker } from 'node:worker_threads';
import { afterAll, expect, it } from 'vitest';
import { packageRoot } from '../../lib/native.js';
import type { TokenizerSource } from '../../lib/tokenizer/source.js';
import { Tokenizer } from '../../lib/tokenizer/tokenizer.js';

const source = (folder: string): TokenizerSource => ({
  kind: 'tokenizer-json',
  path: join(packageRoot, folder, 'tokenizer.json'),
  configPath: join(packageRoot, folder, 'tokenizer_config.json'),
});
const stories = source('models/stories-260k');
const gpt2 = source('test/fixtures/tiny-gpt2');
const longText = 'Once upon a time '.repeat(200_000);

/** All threads of this process, in the order of their start. */
const threads: Worker[] = [];
const started = (worker: Worker) => threads.push(worker);
process.on('worker', started);
afterAll(() => process.off('worker', started));

/** What `work` starts in threads. */
async function startedBy(work: () => Promise<unknown>): Promise<number> {
  const before = threads.length;
  await work();
  return threads.length - before;
}

/** Loads, encodes in both ways and disposes. */
async function useOnce(from = stories): Promise<Int32Array> {
  const tokenizer = await Tokenizer.load(from);
  const ids = tokenizer.encode('Once upon a time');
  expect(await tokenizer.encodeAsync('Once upon a time')).toEqual(ids);
  await tokenizer.dispose();
  return ids;
}

it('serves many tokenizers, one after the other, with the answers of each', async () => {
  const expected = [await useOnce(stories), await useOnce(gpt2)];
  expect(expected[0]).not.toEqual(expected[1]);
  const count = await startedBy(async () => {
    for (let i = 0; i < 10; ++i) expect(await useOnce([stories, gpt2][i % 2])).toEqual(expected[i % 2]);
  });
  expect(count).toBe(0);
});

it('serves one at a time, and one waits', async () => {
  await useOnce();
  const load = async () => {
    const tokenizers = await Promise.all([Tokenizer.load(stories), Tokenizer.load(gpt2)]);
    await Promise.all(tokenizers.map((tokenizer) => tokenizer.dispose()));
  };
  expect(await startedBy(load)).toBe(1);
  expect(await startedBy(load)).toBe(1);
});

it('does not serve again when it has work left', async () => {
  const answer = await useOnce();
  const unanswered = await Tokenizer.load(stories);
  const refused = unanswered.encodeAsync(longText).catch((error) => error.code);
  await unanswered.dispose();
  expect(await refused).toBe('DISPOSED');
  expect(await startedBy(async () => expect(await useOnce()).toEqual(answer))).toBe(1);

  // Given up, but the worker does not know yet.
  const aborted = await Tokenizer.load(stories);
  const controller = new AbortController();
  const given = aborted.encodeAsync(longText, { signal: controller.signal }).catch((error) => error);
  controller.abort('enough');
  await aborted.dispose();
  expect(await given).toBe('enough');
  expect(await startedBy(async () => expect(await useOnce()).toEqual(answer))).toBe(1);
});

it('does not serve again when its tokenizer was refused or given up', async () => {
  await useOnce();
  await expect(Tokenizer.load({ ...stories, path: __filename })).rejects.toMatchObject({
    code: 'MODEL_FORMAT',
  });
  expect(await startedBy(useOnce)).toBe(1);
  const controller = new AbortController();
  const loading = Tokenizer.load(stories, { signal: controller.signal });
  controller.abort('enough');
  await expect(loading).rejects.toBe('enough');
  expect(await startedBy(useOnce)).toBe(1);
});

it('is replaced when it died', async () => {
  await useOnce();
  const worker = threads.at(-1)!;
  await worker.terminate();
  expect(await startedBy(useOnce)).toBe(1);
});

it('ends after seconds without a tokenizer', async () => {
  await useOnce();
  const [code] = await once(threads.at(-1)!, 'exit');
  expect(code).toBe(1);
  expect(await startedBy(useOnce)).toBe(1);
}, 20_000);

it('keeps no process open', async () => {
  const program = `
    import { Tokenizer } from ${JSON.stringify(join(packageRoot, 'dist', 'tokenizer', 'tokenizer.js'))};
    const tokenizer = await Tokenizer.load(${JSON.stringify(stories)});
    await tokenizer.dispose();
    const begin = Date.now();
    process.on('exit', () => console.log(Date.now() - begin));`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', program]);
  expect(Number(stdout)).toBeLessThan(1000);
});

/** A tokenizer's thread is its own and ends with it, when it has been quiet. */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { setTimeout as wait } from 'node:timers/promises';
import type { Worker } from 'node:worker_threads';
import { afterAll, describe, expect, it } from 'vitest';
import { packageRoot } from '../../lib/native.js';
import { quietMs } from '../../lib/quiet.js';
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

/** All threads of this process that run, in the order of their start. */
const running = new Set<Worker>();
const started = (worker: Worker) => {
  running.add(worker);
  worker.on('exit', () => running.delete(worker));
};
process.on('worker', started);
afterAll(() => process.off('worker', started));

const newest = (): Worker => [...running].at(-1)!;

/** Loads, encodes in both ways and disposes. */
async function useOnce(from = stories): Promise<Int32Array> {
  const tokenizer = await Tokenizer.load(from);
  expect(running.size).toBe(1);
  const ids = tokenizer.encode('Once upon a time');
  expect(await tokenizer.encodeAsync('Once upon a time')).toEqual(ids);
  await tokenizer.dispose();
  expect(running.size).toBe(0);
  return ids;
}

it('many tokenizers, one after the other, give the answers of each', async () => {
  const expected = [await useOnce(stories), await useOnce(gpt2)];
  expect(expected[0]).not.toEqual(expected[1]);
  for (let i = 0; i < 10; ++i) expect(await useOnce([stories, gpt2][i % 2])).toEqual(expected[i % 2]);
});

it('two at once have two, and a long text delays no other', async () => {
  const [busy, quick] = await Promise.all([Tokenizer.load(stories), Tokenizer.load(stories)]);
  expect(running.size).toBe(2);
  let done = false;
  const long = busy.encodeAsync(longText).then(() => {
    done = true;
  });
  await quick.encodeAsync('Once');
  expect(done).toBe(false);
  await long;
  await Promise.all([busy.dispose(), quick.dispose()]);
  expect(running.size).toBe(0);
});

it('a dispose rejects what has no answer, and ends the thread in the middle of a text', async () => {
  const unanswered = await Tokenizer.load(stories);
  const refused = unanswered.encodeAsync(longText).catch((error) => error.code);
  await unanswered.dispose();
  expect(await refused).toBe('DISPOSED');
  expect(running.size).toBe(0);
});

it('a tokenizer that was refused or given up leaves no thread', async () => {
  const left = async () => {
    // Node tells of a thread in the tick after its start.
    await wait(1);
    for (const worker of running) await once(worker, 'exit');
    return running.size;
  };
  await expect(Tokenizer.load({ ...stories, path: __filename })).rejects.toMatchObject({
    code: 'MODEL_FORMAT',
  });
  expect(await left()).toBe(0);
  const controller = new AbortController();
  const loading = Tokenizer.load(stories, { signal: controller.signal });
  controller.abort('enough');
  await expect(loading).rejects.toBe('enough');
  expect(await left()).toBe(0);
});

it('a thread that dies fails its tokenizer alone', async () => {
  const tokenizer = await Tokenizer.load(stories);
  await newest().terminate();
  await expect(tokenizer.encodeAsync('Once')).rejects.toMatchObject({ code: 'INTERNAL' });
  await tokenizer.dispose();
  await useOnce();
});

describe('a thread ends by itself (0), and is terminated (1) only where it does not stop working', () => {
  /** Of the thread that runs. */
  const status = async () => {
    await wait(1);
    return once(newest(), 'exit');
  };

  it('when it has run nothing for a moment', async () => {
    const tokenizer = await Tokenizer.load(stories);
    const ended = status();
    tokenizer.encode('Once upon a time');
    const begin = performance.now();
    await tokenizer.dispose();
    // The clocks of two threads.
    expect(performance.now() - begin).toBeGreaterThan(quietMs - 5);
    expect(await ended).toEqual([0]);
  });

  it('which may have passed', async () => {
    const tokenizer = await Tokenizer.load(stories);
    const ended = status();
    await wait(2 * quietMs);
    const begin = performance.now();
    await tokenizer.dispose();
    expect(performance.now() - begin).toBeLessThan(quietMs);
    expect(await ended).toEqual([0]);
  });

  it('in the middle of a text', async () => {
    const tokenizer = await Tokenizer.load(stories);
    const ended = status();
    tokenizer.encodeAsync(longText).catch(() => {});
    await wait(20);
    await tokenizer.dispose();
    expect(await ended).toEqual([0]);
  });

  it('where there is no tokenizer, or nobody waits for it', async () => {
    const refused = Tokenizer.load({ ...stories, path: __filename });
    const ended = status();
    await expect(refused).rejects.toMatchObject({ code: 'MODEL_FORMAT' });
    expect(await ended).toEqual([0]);
    const controller = new AbortController();
    const loading = Tokenizer.load(stories, { signal: controller.signal });
    const givenUp = status();
    controller.abort('enough');
    await expect(loading).rejects.toBe('enough');
    expect(await givenUp).toEqual([0]);
  });

  it('not in a regular expression that does not end', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'kvasir-threads-'));
    const path = join(folder, 'tokenizer.json');
    const definition = JSON.parse(readFileSync(stories.path, 'utf8'));
    const pattern = { Regex: '^(a+)+$' };
    definition.normalizer = null;
    definition.pre_tokenizer = { type: 'Split', pattern, behavior: 'Isolated', invert: false };
    writeFileSync(path, JSON.stringify(definition));
    const tokenizer = await Tokenizer.load({ ...stories, path });
    rmSync(folder, { recursive: true });
    const ended = status();
    tokenizer.encodeAsync(`${'a'.repeat(60)}b`).catch(() => {});
    await wait(20);
    await tokenizer.dispose();
    expect(await ended).toEqual([1]);
  });
});

it('lets the process end when it has been quiet', async () => {
  const program = `
    import { Tokenizer } from ${JSON.stringify(join(packageRoot, 'dist', 'tokenizer', 'tokenizer.js'))};
    const tokenizer = await Tokenizer.load(${JSON.stringify(stories)});
    tokenizer.encode('Once upon a time');
    const sync = performance.now();
    await new Promise((resolve) => process.once('beforeExit', resolve));
    const between = performance.now();
    await tokenizer.encodeAsync('Once upon a time');
    const last = performance.now();
    process.on('exit', () => console.log(between - sync, performance.now() - last));`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', program]);
  for (const ms of stdout.split(' ').map(Number)) {
    expect(ms).toBeGreaterThan(quietMs - 5);
    expect(ms).toBeLessThan(quietMs + 1000);
  }
});

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

/** Vocabularies and chat templates that people have, whole: the reference's ids and texts (scripts/sweeps/). */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

const run = promisify(execFile);

/** What the sweep prints last, as JSON; what it printed before, where it is not as it should be. */
async function sweep<T>(script: string, ...args: string[]): Promise<{ result: T; output: string }> {
  const path = fileURLToPath(new URL(`../../scripts/sweeps/${script}`, import.meta.url));
  const { stdout } = await run(process.execPath, [path, ...args], { maxBuffer: 2 ** 26 });
  return { result: JSON.parse(stdout.trimEnd().split('\n').at(-1)!) as T, output: stdout };
}

interface Swept {
  name: string;
  form: string;
  count: number;
  differ: number;
}

it('100,000 random strings have the ids of Rust tokenizers in ten vocabularies, in two forms each', async () => {
  const { result, output } = await sweep<Swept[]>('vocabularies.mjs', '100000');
  expect(new Set(result.map(({ name }) => name)).size).toBe(10);
  expect(result).toHaveLength(20);
  for (const { name, form, count, differ } of result) {
    expect([name, form, count, differ], output).toEqual([name, form, 100_000, 0]);
  }
}, 3_600_000);

it('calls that chat templates render are read back as the same calls', async () => {
  const { result, output } = await sweep<Record<string, number>>('tools.mjs');
  expect(result, output).toMatchObject({ templates: 70, differ: 0 });
  expect(result.same, output).toBeGreaterThanOrEqual(52);
}, 1_200_000);

it('70 chat templates render 13 conversations as transformers does, but for contents in parts', async () => {
  const { result, output } = await sweep<Record<string, number>>('templates.mjs');
  expect(result, output).toMatchObject({ templates: 70, renderings: 910, differ: 0 });
  expect(result.joined, output).toBeLessThanOrEqual(10);
  expect(result.same).toBeGreaterThan(700);
}, 1_200_000);

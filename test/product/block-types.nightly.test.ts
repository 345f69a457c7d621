/** A million random values of every block type against the `gguf` package (scripts/sweeps/); block-types.test.ts is the sample. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

const script = fileURLToPath(new URL('../../scripts/sweeps/block-types.mjs', import.meta.url));
const blocks = 32_768;

it(`${blocks} blocks of each of the 16 types are those of the gguf package, bit for bit`, async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [script, String(blocks)]);
  const results: { type: string; values: number; expected: number; differ: number }[] = JSON.parse(
    stdout.trimEnd().split('\n').at(-1)!,
  );
  expect(results).toHaveLength(16);
  for (const { type, values, expected, differ } of results) {
    expect([type, differ, values], stdout).toEqual([type, 0, expected]);
    expect(values % blocks).toBe(0);
  }
}, 1_200_000);

/** A tokenizer's thread ends with it; idle, it keeps no process alive; a dispose that is awaited must come back. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { packageRoot } from '../../lib/native.js';

const run = promisify(execFile);
const dist = (file: string): string => JSON.stringify(join(packageRoot, 'dist', file));

const program = (end: string): string => `
  import { Tokenizer } from ${dist('tokenizer/tokenizer.js')};
  import { describeModel } from ${dist('formats/index.js')};
  import { resolveModel } from ${dist('hub/index.js')};
  import { native } from ${dist('native.js')};
  const files = await resolveModel('stories-260k');
  const container = await native().openContainer(files.weights);
  const { tokenizerSource } = await describeModel(files, container);
  container.close();
  const tokenizer = await Tokenizer.load(tokenizerSource);
  ${end}
  console.log('the end');`;

const execute = (end: string) =>
  run(process.execPath, ['--input-type=module', '-e', program(end)], { timeout: 30_000 });

// The main thread is busy until the answer lies in its queue: it arrives when the dispose has begun.
it('comes back from an awaited dispose, also when an answer arrives after it', async () => {
  const { stdout } = await execute(`
    const encoding = tokenizer.encodeAsync('Once upon a time').catch(() => {});
    await null;
    for (const begin = performance.now(); performance.now() - begin < 300; );
    await tokenizer.dispose();`);
  expect(stdout).toBe('the end\n');
}, 40_000);

it('lets the process end without one', async () => {
  const { stdout } = await execute('');
  expect(stdout).toBe('the end\n');
}, 40_000);

// In a process of its own: nothing else starts or ends threads there.
it.skipIf(process.platform !== 'linux')(
  'ends its thread, and that of each of three',
  async () => {
    const { stdout } = await execute(`
    const { readdirSync } = await import('node:fs');
    const threads = () => readdirSync('/proc/self/task').length;
    await tokenizer.dispose();
    const before = threads();
    const three = await Promise.all([1, 2, 3].map(() => Tokenizer.load(tokenizerSource)));
    console.log(threads() - before, three.map((one) => one.encode('Once').length > 1).join());
    await Promise.all(three.map((one) => one.dispose()));
    console.log(threads() - before);`);
    expect(stdout).toBe('3 true,true,true\n0\nthe end\n');
  },
  40_000,
);

/** A sample of what test/measured/resources.test.ts measures over 500 cycles: what a model takes comes back. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { packageRoot } from '../../lib/native.js';

it('40 cycles of load, generate and dispose of stories-260k keep at most 2 MB', async () => {
  const script = join(packageRoot, 'scripts', 'measure', 'memory.mjs');
  const args = [script, 'cycles', 'stories-260k', '40'];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  const { cycle5, last } = JSON.parse(stdout) as { cycle5: number; last: number };
  expect(last - cycle5).toBeLessThanOrEqual(2 * 2 ** 20);
}, 300_000);

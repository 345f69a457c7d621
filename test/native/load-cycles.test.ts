/** A sample of what test/measured/resources.test.ts measures over 500 cycles: what a model takes comes back. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { packageRoot } from '../../lib/native.js';

// In the first 20 V8 compiles what has become hot, some 2 MB that stay; a leak goes on at the same pace.
it('20 cycles of load, generate and dispose of stories-260k, after 20, keep at most 2 MB', async () => {
  const script = join(packageRoot, 'scripts', 'measure', 'memory.mjs');
  const args = [script, 'cycles', 'stories-260k', '40'];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  const { after } = JSON.parse(stdout) as { after: number[] };
  expect(after).toHaveLength(40);
  expect(after[39]! - after[19]!).toBeLessThanOrEqual(2 * 2 ** 20);
}, 300_000);

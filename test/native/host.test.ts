/**
 * What importing the package and loading a model change in the process around them: nothing of its main thread's
 * scheduling and nothing of its heap, unless the environment asks for it. Each case is a process of its own.
 */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { packageRoot } from '../../lib/native.js';

const run = promisify(execFile);

/**
 * 64 MB of holes in the heap, each too small to be unmapped by itself; then a load and a dispose. `chrt` tells the policy
 * and its flags, and where the kernel knows time slices the thread's own.
 */
const child = `
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
const schedule = () => [
  execFileSync('chrt', ['-p', String(process.pid)], { encoding: 'utf8' }),
  execFileSync('taskset', ['-p', String(process.pid)], { encoding: 'utf8' }),
  /^se\\.slice.*$/m.exec(readFileSync('/proc/self/sched', 'utf8'))?.[0],
];
const resident = () => Number(/VmRSS:\\s+(\\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]) / 1024;
const before = schedule();
const kept = [];
let dropped = [];
for (let i = 0; i < 2000; i++) (i % 2 ? kept : dropped).push(Buffer.allocUnsafeSlow(64 * 1024).fill(1));
dropped = undefined;
for (let i = 0; i < 5; i++) { gc(); await wait(50); }
const full = resident();
const { Model } = await import('./dist/index.js');
const model = await Model.load('stories-260k', { contextLength: 128, kvCapacity: 128 });
await model.dispose();
gc();
console.log(JSON.stringify({ before, after: schedule(), fellBy: full - resident(), kept: kept.length }));
`;

interface Report {
  before: string[];
  after: string[];
  /** MB. */
  fellBy: number;
}

async function inProcess(environment: Record<string, string>): Promise<Report> {
  const env = { ...process.env, KVASIR_SHORT_TIME_SLICE: '', KVASIR_TRIM_HEAP: '', ...environment };
  const args = ['--expose-gc', '--input-type=module', '--eval', child];
  const { stdout } = await run(process.execPath, args, { cwd: join(packageRoot), env, timeout: 120_000 });
  return JSON.parse(stdout) as Report;
}

describe.skipIf(process.platform !== 'linux')('the host', () => {
  it('keeps the schedule of its main thread and its heap', async () => {
    const { before, after, fellBy } = await inProcess({});
    expect(after).toEqual(before);
    expect(fellBy).toBeLessThan(20);
  });

  it('is trimmed on request', async () => {
    const { before, after, fellBy } = await inProcess({ KVASIR_TRIM_HEAP: '1' });
    expect(after).toEqual(before);
    expect(fellBy).toBeGreaterThan(30);
  });

  it('has a short time slice on request, where the kernel knows any', async () => {
    const { before, after } = await inProcess({ KVASIR_SHORT_TIME_SLICE: '1' });
    if (before[2] === undefined) return;
    expect(after).not.toEqual(before);
  });
});

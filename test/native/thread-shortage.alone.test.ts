/** A system that has no more threads to give, such as a container with a limit on processes: typed errors, no crash. */
import { execFile, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { packageRoot } from '../../lib/native.js';

const built = (...path: string[]) => pathToFileURL(join(packageRoot, 'dist', ...path)).href;

/** What a process prints that loads a model, may start only so many threads more, and then uses it and loads another. */
async function withMoreThreads(count: number): Promise<string[]> {
  const program = `
    import { execFileSync } from 'node:child_process';
    import { readFileSync } from 'node:fs';
    import { stat } from 'node:fs/promises';
    import { Model } from ${JSON.stringify(built('index.js'))};
    import { TokenizerThread } from ${JSON.stringify(built('tokenizer', 'thread.js'))};
    await stat('/'); // libuv's threads, without which Node itself would end the process
    const first = await Model.load('stories-260k', { threads: 2 });
    // Root has no limit.
    if (process.getuid() === 0) process.setuid(65534);
    const threads = Number(/Threads:\\s+(\\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]);
    execFileSync('prlimit', ['--pid', String(process.pid), '--nproc=' + (threads + ${count}) + ':']);
    const complain = ({ name, code, message }) => console.log(name, code, message);
    try {
      if (${count} === 0) new TokenizerThread();
    } catch (error) {
      complain(error);
    }
    for (const device of ['auto', 'cpu']) {
      await Model.load('stories-260k', { device, threads: 2 }).then(async (second) => {
        console.log('loaded');
        await second.dispose();
      }, complain);
    }
    console.log((await first.generate('Once upon a time', { maxTokens: 3, temperature: 0 })).finishReason);
    await first.dispose();
    console.log('disposed');`;
  const args = ['--input-type=module', '-e', program];
  const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 50_000 });
  return stdout.trimEnd().split('\n');
}

const isRoot = process.getuid?.() === 0;

/** Why this machine cannot be made short of threads, or ''. Root has no limit, so the process becomes nobody. */
function whyNot(): string {
  if (process.platform !== 'linux') return 'only on Linux do threads count as processes';
  if (spawnSync('prlimit', ['--version']).status !== 0) return 'there is no prlimit';
  if (!isRoot) return '';
  const look = `process.setuid(65534); require('node:fs').readdirSync(${JSON.stringify(join(packageRoot, 'dist'))})`;
  return spawnSync(process.execPath, ['-e', look]).status === 0 ? '' : 'nobody cannot read this checkout';
}
const reason = whyNot();

// A user who runs other processes is already above the limit of this one.
const title = `a process that may start no more threads${reason && ` [skipped: ${reason}]`}`;
describe.skipIf(reason !== '')(title, () => {
  it('refuses to load a model, and goes on with the one it has', async () => {
    const refused = expect.stringMatching(
      /^KvasirError INSUFFICIENT_MEMORY The system starts no more threads: /,
    );
    // The tokenizer's thread by itself, and two loads.
    expect(await withMoreThreads(0)).toEqual([refused, refused, refused, 'length', 'disposed']);
  }, 60_000);

  it.runIf(isRoot).each([1, 2, 3])(
    'or only %i',
    async (count) => {
      const lines = await withMoreThreads(count);
      expect(lines.slice(-2)).toEqual(['length', 'disposed']);
      for (const line of lines.slice(0, -2))
        expect(line).toMatch(/^loaded$|^KvasirError INSUFFICIENT_MEMORY /);
    },
    60_000,
  );
});

/** Workers, and with them environments of the addon, that end while native code runs: the process lives. */
import { execFile } from 'node:child_process';
import { pathToFileURL } from 'node:url';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { addonPath, packageRoot } from '../../lib/native.js';
import { amount, isNightly } from '../nightly.js';

/** After the first `phase` that a worker says, so many ms. */
interface Moment {
  readonly phase: string;
  readonly delay: number;
}

/**
 * Ends workers that run `work` (CommonJS), each of them at its moment, however slow the machine is; then runs `after`.
 * What the process prints: 'alive' last.
 */
async function endWorkers(work: string, moments: readonly Moment[], after = ''): Promise<string> {
  const code = `const { parentPort } = require('node:worker_threads'); ${work}`;
  const program = `
    import { on } from 'node:events';
    import { readFileSync } from 'node:fs';
    import { setTimeout as wait } from 'node:timers/promises';
    import { Worker } from 'node:worker_threads';
    for (const { phase, delay } of ${JSON.stringify(moments)}) {
      const worker = new Worker(${JSON.stringify(code)}, { eval: true, execArgv: [] });
      for await (const [said] of on(worker, 'message')) if (said === phase) break;
      await wait(delay);
      await worker.terminate();
    }
    ${after}
    console.log('alive');`;
  const args = ['--input-type=module', '-e', program];
  return (await promisify(execFile)(process.execPath, args, { timeout: 170_000 })).stdout;
}

const addon = `require(${JSON.stringify(addonPath())})`;
const moments = (phase: string, delays: readonly number[]) => delays.map((delay) => ({ phase, delay }));

it('in the middle of a native call', async () => {
  const work = `const addon = ${addon}; parentPort.postMessage('ready'); for (;;) addon.cpu();`;
  const delays = Array.from({ length: amount(4, 12) }, (_, i) => i);
  expect(await endWorkers(work, moments('ready', delays))).toBe('alive\n');
}, 180_000);

it('at every moment of a load, a generation and a dispose', async () => {
  const index = pathToFileURL(join(packageRoot, 'dist', 'index.js')).href;
  const work = `
    import(${JSON.stringify(index)}).then(async ({ Model }) => {
      await (await Model.load('stories-260k')).dispose();
      for (let i = 0; ; ++i) {
        parentPort.postMessage('loading');
        const model = await Model.load('stories-260k', { onProgress() {} });
        model.generate('Once upon a time', { maxTokens: 20 });
        parentPort.postMessage('generating');
        await new Promise((resolve) => setTimeout(resolve, 2));
        const disposed = model.dispose();
        parentPort.postMessage('disposing');
        if (i % 2 === 0) await disposed;
      }
    });`;
  const delays = isNightly ? [0, 1, 2, 3, 5, 8, 13, 21] : [0, 2];
  const all = ['loading', 'generating', 'disposing'].flatMap((phase) => moments(phase, delays));
  expect(await endWorkers(work, all)).toBe('alive\n');
}, 180_000);

it.runIf(process.platform === 'linux')('the addon stays loaded for its threads', async () => {
  const after = `if (!readFileSync('/proc/self/maps', 'utf8').includes('kvasir.node')) console.log('unloaded');`;
  expect(await endWorkers(`${addon}; parentPort.postMessage('ready');`, moments('ready', [0]), after)).toBe(
    'alive\n',
  );
});

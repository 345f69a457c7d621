/** Workers, and with them environments of the addon, that end while native code runs: the process lives. */
import { execFile } from 'node:child_process';
import { pathToFileURL } from 'node:url';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { addonPath, packageRoot } from '../../lib/native.js';

/**
 * Ends workers that run `work` (CommonJS), each of them so many ms after its first message; then runs `after`, which has
 * the later ones in `seen`. What the process prints.
 */
async function endWorkers(work: string, delays: readonly number[], after = ''): Promise<string> {
  const code = `const { parentPort } = require('node:worker_threads'); ${work}`;
  const program = `
    import { once } from 'node:events';
    import { readFileSync } from 'node:fs';
    import { setTimeout as wait } from 'node:timers/promises';
    import { Worker } from 'node:worker_threads';
    const seen = new Set();
    for (const delay of ${JSON.stringify(delays)}) {
      const worker = new Worker(${JSON.stringify(code)}, { eval: true, execArgv: [] });
      await once(worker, 'message');
      worker.on('message', (phase) => seen.add(phase));
      await wait(delay);
      await worker.terminate();
    }
    ${after}
    console.log('alive');`;
  const args = ['--input-type=module', '-e', program];
  return (await promisify(execFile)(process.execPath, args, { timeout: 50_000 })).stdout;
}

const addon = `require(${JSON.stringify(addonPath)})`;
const upTo = (count: number, step: number) => Array.from({ length: count }, (_, i) => i * step);

it('in the middle of a native call', async () => {
  const work = `const addon = ${addon}; parentPort.postMessage('ready'); for (;;) addon.cpu();`;
  expect(await endWorkers(work, upTo(12, 1))).toBe('alive\n');
}, 30_000);

it('at every moment of a load, a generation and a dispose', async () => {
  const index = pathToFileURL(join(packageRoot, 'dist', 'index.js')).href;
  const work = `
    import(${JSON.stringify(index)}).then(async ({ Model }) => {
      await (await Model.load('stories-260k')).dispose();
      parentPort.postMessage('ready');
      for (let i = 0; ; ++i) {
        const model = await Model.load('stories-260k', { onProgress() {} });
        parentPort.postMessage('loaded');
        model.generate('Once upon a time', { maxTokens: 20 });
        await new Promise((resolve) => setTimeout(resolve, 2));
        const disposed = model.dispose();
        parentPort.postMessage('disposing');
        if (i % 2 === 0) await disposed;
      }
    });`;
  const after = `if (seen.has('loaded') && seen.has('disposing')) console.log('through all phases');`;
  expect(await endWorkers(work, upTo(30, 5), after)).toBe('through all phases\nalive\n');
}, 60_000);

it.runIf(process.platform === 'linux')('the addon stays loaded for its threads', async () => {
  const after = `if (!readFileSync('/proc/self/maps', 'utf8').includes('kvasir.node')) console.log('unloaded');`;
  expect(await endWorkers(`${addon}; parentPort.postMessage('ready');`, [0], after)).toBe('alive\n');
});

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { packageRoot } from '../../lib/native.js';

/**
 * In a process of its own, because vitest itself watches for unhandled rejections. `end` aborts, fails or disposes
 * while a run is under way; `use` is what the caller does with it.
 */
function script(end: string, use: string): string {
  return `
    import { Engine } from './dist/engine/engine.js';
    import { launch } from './dist/engine/launch.js';
    import { SamplerBuffers } from './dist/generation/sampler.js';
    import { parseGenerateOptions } from './dist/options.js';
    let unhandled = 0;
    process.on('unhandledRejection', () => unhandled++);
    process.on('uncaughtException', () => unhandled++);
    const info = {
      kvCapacity: 4096, kvPageSize: 64, stateSlots: 0, stepTokens: 512,
      kvTables: [{ window: 0, pages: 64 }], checkpoints: { every: 256, most: 0, bytes: 0 },
    };
    let breakNow = false;
    let steps = 0;
    const native = {
      info,
      createSequence: () => 1,
      forkSequence: () => 2,
      truncateSequence() {},
      freeSequence() {},
      sequenceLength: () => 0,
      shortestPrefix: () => 0,
      freePages: () => [64],
      ownPages: () => [0],
      cancelSequence() {},
      async step(batch) {
        await new Promise((resolve) => setTimeout(resolve, 2));
        steps++;
        if (breakNow) throw new Error('native broke');
        const r = batch.rows.length;
        const fill = (value) => Float64Array.from({ length: r }, () => value);
        const none = Array.from({ length: r }, () => null);
        return {
          cancelled: false, candidates: 2, candidateIds: Int32Array.from({ length: 2 * r }, (_, i) => i % 2),
          candidateLogits: new Float32Array(2 * r), logSumExp: fill(1), logSumExp1: fill(1),
          targetLogits: new Float32Array(r), fullLogits: none,
        };
      },
      async dispose() {},
    };
    const engine = new Engine(native, 1000);
    const vocabulary = {
      size: 2, endTokens: new Set(), textOf: String, bytesOf: (id) => Buffer.from(String(id)),
      createDecoder: () => ({ push: (id) => String(id), unseen: () => '', flush: () => '' }),
    };
    const generator = { engine, contextLength: 1000, vocabulary, buffers: new SamplerBuffers(2) };
    const abort = new AbortController();
    const settings = parseGenerateOptions({ maxTokens: 900, signal: abort.signal }, {}, 2);
    const outcomes = [];
    const run = launch(generator, { settings, cache: { reuse: true }, encode: async () => Int32Array.of(0, 1) });
    const seen = (how) => (error) => outcomes.push(how + ':' + (error?.code ?? error?.message ?? error?.finishReason ?? 'end'));
    const iterate = async () => { for await (const chunk of run) void chunk; };
    ${use}
    const tick = () => new Promise((resolve) => setTimeout(resolve, 2));
    while (steps < 5) await tick();
    ${end}
    for (let i = 0; i < 40; i++) await tick();
    await engine.dispose();
    console.log(JSON.stringify({ unhandled, steps, outcomes: outcomes.sort() }));
  `;
}

interface Report {
  unhandled: number;
  steps: number;
  outcomes: string[];
}

async function runScript(source: string): Promise<Report> {
  const child = spawn(process.execPath, ['--input-type=module', '-e', source], { cwd: packageRoot });
  let output = '';
  child.stdout.on('data', (data) => {
    output += data;
  });
  child.stderr.on('data', (data) => {
    output += data;
  });
  const status = await new Promise((resolve) => child.on('close', resolve));
  expect(status, output).toBe(0);
  return JSON.parse(output);
}

const ends = {
  abort: { code: 'abort.abort();', iterated: 'end', awaited: 'abort' },
  failure: { code: 'breakNow = true;', iterated: 'INTERNAL', awaited: 'INTERNAL' },
  dispose: { code: 'engine.dispose();', iterated: 'DISPOSED', awaited: 'DISPOSED' },
};

const uses = {
  iterated: "iterate().then(seen('iterated'), seen('iterated'));",
  awaited: "run.then(seen('awaited'), seen('awaited'));",
};

describe.skipIf(!existsSync(join(packageRoot, 'dist', 'engine', 'launch.js')))(
  'no rejection is left unhandled (needs dist)',
  () => {
    for (const [name, { code, iterated, awaited }] of Object.entries(ends)) {
      const told = { iterated: `iterated:${iterated}`, awaited: `awaited:${awaited}` };
      const cases: [string, string, string[]][] = [
        ['iterate only', uses.iterated, [told.iterated]],
        ['await only', uses.awaited, [told.awaited]],
        ['both', uses.iterated + uses.awaited, [told.awaited, told.iterated]],
        ['neither', '', []],
        [
          'finally alone',
          "run.finally(() => {}).catch(seen('awaited'));",
          name === 'abort' ? [] : [told.awaited],
        ],
      ];
      for (const [how, use, outcomes] of cases) {
        it(`${name}, ${how}`, async () => {
          const report = await runScript(script(code, use));
          expect(report).toMatchObject({ unhandled: 0, outcomes });
          expect(report.steps).toBeGreaterThanOrEqual(5);
          expect(report.steps).toBeLessThan(15);
        });
      }
    }

    it('the count would show one', async () => {
      const report = await runScript(script("Promise.reject(new Error('lost'));", ''));
      expect(report.unhandled).toBe(1);
    });
  },
);

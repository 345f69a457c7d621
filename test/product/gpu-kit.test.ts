/** The GPU kit's run on the emulated GPU at tiny sizes: its whole order, its report, and parts that fail, hang or rave. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runtimeParts } from '../../scripts/kit/pack.mjs';
import { planParts, readResults } from '../../scripts/kit/parts.mjs';
import { floorOf, workOf } from '../../scripts/kit/steps.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const release = `${root}build/Release/`;
const emulated = {
  KVASIR_CUDA_LIBRARY: `${release}kvasir_cuda_emulated.so`,
  KVASIR_KIT_TESTS: `${release}native_tests`,
  KVASIR_KIT_MEASURE: `${release}cuda_measure_emulated`,
  KVASIR_KIT_SIZE: 'tiny',
};
const names = ['device', 'ceilings', 'kernels', 'parity', 'shape-1b', 'shape-8b', 'times'];

let out = '';
beforeEach(() => {
  out = mkdtempSync(join(tmpdir(), 'kvasir-kit-'));
});
afterEach(() => {
  rmSync(out, { recursive: true, force: true });
});

interface Part {
  name: string;
  passed: boolean;
  status: number | string;
  seconds: number;
  said: string[];
  results: { name: string; text: string; passed?: boolean }[];
}

function check(seconds: number, env: NodeJS.ProcessEnv) {
  const args = [`${root}scripts/kit/check.mjs`, `${seconds}`, out];
  const { status, stdout } = spawnSync(process.execPath, args, {
    env: { PATH: '/usr/bin:/bin', ...env },
    encoding: 'utf8',
  });
  const { parts } = JSON.parse(readFileSync(join(out, 'gpu-kit.json'), 'utf8')) as { parts: Part[] };
  return { status, stdout, parts, text: readFileSync(join(out, 'gpu-kit.md'), 'utf8') };
}

describe('the GPU kit', () => {
  it('runs its whole order, and says the result of each part', () => {
    const { status, stdout, parts, text } = check(540, emulated);
    expect(parts.map(({ name, passed }) => [name, passed])).toEqual(names.map((name) => [name, true]));
    expect(status).toBe(0);
    expect(stdout.trim().split('\n')).toHaveLength(names.length + 1);
    const found = parts.flatMap(({ results }) => results.map(({ name }) => name));
    for (const name of ['copy', 'int8_mma', 'fp16_mma', 'prefill 8', 'decode, depth 24, batch 3'])
      expect(found).toContain(name);
    expect(found).toContain('tiny: attention at depth 70, rows 3');
    const decode = parts[4]!.results.find(({ name }) => name === 'decode, depth 0, batch 1')!;
    expect(decode.text).toMatch(/^\d+ tokens\/s, \d+ us a step, [\d.]+ % of the (bandwidth|INT8 peak)$/);
    expect(text).toContain(decode.text);
  }, 120_000);

  it('goes on after a part that fails, hangs with a child, or prints anything, and keeps what they said', () => {
    const shell = (text: string) => ['/bin/sh', '-c', text];
    const others = {
      device: shell('echo \'{"name":"device","passed":true,"text":"one"}\''),
      ceilings: shell('echo \'{"name":"copy","text":"kept"}\'; sleep 600 & sleep 600'),
      kernels: shell('echo broken >&2; exit 3'),
      parity: shell('head -c 3000000 /dev/urandom; echo; echo \'{"name":\'; echo "{}"'),
      'shape-1b': shell('echo \'{"name":"last","text":"reached"}\''),
    };
    const begun = performance.now();
    const { status, parts, text } = check(30, { KVASIR_KIT_PARTS: JSON.stringify(others) });
    expect(performance.now() - begun).toBeLessThan(15_000);
    expect(status).toBe(1);
    const judged = parts.map(({ name, passed, status: ended }) => [name, passed, ended]);
    expect(judged).toEqual([
      ['device', true, 0],
      ['ceilings', false, 'limit'],
      ['kernels', false, 3],
      ['parity', false, 0],
      ['shape-1b', true, 0],
    ]);
    expect(parts[1]!.results[0]!.text).toBe('kept');
    expect(parts[2]!.said).toContain('broken');
    expect(text).toContain('| last | reached |');
    expect(text).toContain('Measured ceilings: CUT at its limit');
  }, 60_000);

  it('ends where there is no GPU, and says why, with everything loaded', () => {
    const { status, parts } = check(300, { ...emulated, KVASIR_EMULATION_FAULT: 'device:none' });
    expect({ status, parts: parts.length }).toEqual({ status: 1, parts: 1 });
    expect(parts[0]!.results.at(-1)!.text).toMatch(/^There is no NVIDIA driver/);
  });
});

describe('the packages in it', () => {
  it('are what a check runs: no server, no hub, no optional peer', async () => {
    const { files, packages } = await runtimeParts(root);
    expect(files).toEqual(
      expect.arrayContaining(['dist/index.js', 'dist/load.js', 'dist/native.js', 'dist/tokenizer/worker.js']),
    );
    expect(files.filter((file: string) => /^dist\/(server|cli|ai-sdk|langchain)\//.test(file))).toEqual([]);
    expect(packages).toContain('node_modules/valibot');
    const { dependencies, peerDependencies } = JSON.parse(readFileSync(`${root}package.json`, 'utf8'));
    const others = ['hono', '@huggingface/hub', 'commander', ...Object.keys(peerDependencies)];
    expect(Object.keys(dependencies)).toEqual(expect.arrayContaining(others.slice(0, 3)));
    const left = others.map((name) => `node_modules/${name}`);
    expect(packages.filter((path: string) => left.includes(path))).toEqual([]);
  });
});

describe('the plan of a run', () => {
  it('ends with the 1B shape at 300 seconds and has all at 540', () => {
    expect(planParts(300).map(({ name }) => name)).toEqual(names.slice(0, 5));
    expect(planParts(540).map(({ name }) => name)).toEqual(names);
    for (const seconds of [20, 300, 450, 540]) {
      const ends = planParts(seconds).map(({ until }) => until);
      expect(ends).toEqual([...ends].sort((a, b) => a - b));
      expect(ends.at(-1)).toBeLessThanOrEqual(seconds);
    }
  });

  it('takes whole lines of JSON with a name for results', () => {
    const { results, rest } = readResults('{"name":"a"}\n{"name":1}\n{broken\n\nother');
    expect(results).toEqual([{ name: 'a' }]);
    expect(rest).toEqual(['{"name":1}', '{broken', 'other']);
  });
});

describe('the least time of a step', () => {
  const linears = {
    'embed.tokens': { inputs: 64, outputs: 1000 },
    'layers.0.qkv': { inputs: 64, outputs: 128 },
    lm_head: { inputs: 64, outputs: 1000 },
  };
  it('counts the weights once, the cache for each sequence, and two operations a weight and row', () => {
    const weights = 64 * (128 + 1000);
    const { decode, prefill } = workOf({ linears, kv: 100 });
    expect(decode(3, 10)).toEqual({ bytes: (weights * 66) / 64 + 3000, operations: 2 * 3 * weights });
    expect(prefill(5).operations).toBe(2 * 64 * (5 * 128 + 1000));
  });
  it('is that of the ceiling which takes longer', () => {
    const ceilings = { bandwidth: 100, int8: 1000 };
    expect(floorOf({ bytes: 200, operations: 1000 }, ceilings)).toEqual({ seconds: 2, of: 'the bandwidth' });
    expect(floorOf({ bytes: 50, operations: 1000 }, ceilings)!.of).toBe('the INT8 peak');
    expect(floorOf({ bytes: 50, operations: 1000 }, { bandwidth: 0, int8: 0 })).toBeUndefined();
  });
});

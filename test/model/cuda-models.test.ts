import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { KvasirError } from '../../lib/errors.js';
import { compare, type LoadOptions, Model } from '../../lib/index.js';
import { kvasir } from '../cli/cli-command.js';
import { amount, isNightly } from '../nightly.js';
import { emulatedLibrary, libraryVariable, useEmulatedGpu } from './emulated-gpu.js';
import { fixtures } from './golden.js';

useEmulatedGpu();
afterAll(() => {
  delete process.env[seed];
});

const seed = 'KVASIR_EMULATION_SEED';
const names = ['stories-260k', 'nano-gpt-sort', `${fixtures}tiny-llama`, `${fixtures}tiny-gpt2`];
type Subject = Required<Pick<LoadOptions, 'dtype' | 'kvDtype'>> & { name: string };
const subjects = names.flatMap((name): Subject[] => [
  { name, dtype: 'int8', kvDtype: 'int8' },
  { name, dtype: 'fp32', kvDtype: 'fp32' },
]);
subjects.push({ name: 'stories-260k', dtype: 'int8', kvDtype: 'fp16' });
subjects.push({ name: `${fixtures}tiny-gpt2`, dtype: 'fp32', kvDtype: 'fp16' });

/** Token ids of a vocabulary of at least 3, as many as ever. */
const prompt = (n: number, seed = 0) => Int32Array.from({ length: n }, (_, i) => (i * i + seed) % 3);

async function on(
  device: 'cpu' | 'cuda',
  name: string,
  options: LoadOptions,
  use: (model: Model) => Promise<void>,
) {
  const model = await Model.load(name, { device, threads: 2, ...options });
  try {
    await use(model);
  } finally {
    await model.dispose();
  }
}

/** What both devices are asked for: one request, three at once, and one that begins like an earlier one. */
async function everything(model: Model, perRequest: number) {
  const greedy = { maxTokens: perRequest, temperature: 0, ignoreEos: true, logprobs: 3 };
  const alone = await model.generate(prompt(6), greedy);
  const together = await Promise.all([3, 1, 5].map((n, i) => model.generate(prompt(n, i), greedy)));
  const after = await model.generate(Int32Array.of(...prompt(6), alone.tokens[0]!), greedy);
  return [alone, ...together, after].map(({ tokens, logprobs, usage }) => ({
    tokens: [...tokens],
    logprobs,
    usage,
  }));
}

/** Of the emulated GPU's threads: one for each subject in turn, nightly all of them. */
const orders = ['1', '2', '3'];
const ordersOf = (subject: Subject) => (isNightly ? orders : [orders[subjects.indexOf(subject) % 3]!]);

describe.each(subjects)('$name, $dtype with a cache of $kvDtype', (subject) => {
  const { name, dtype, kvDtype } = subject;
  it(`gives the tokens and log-probabilities of the CPU, order of threads ${ordersOf(subject)}`, async () => {
    // nano-gpt-sort has room for eleven tokens.
    const perRequest = name === 'nano-gpt-sort' ? 4 : amount(6, 12);
    let expected: unknown;
    await on('cpu', name, { dtype, kvDtype }, async (model) => {
      expect(model.info.kvDtype).toBe(kvDtype);
      expected = await everything(model, perRequest);
    });
    for (const order of ordersOf(subject)) {
      process.env[seed] = order;
      await on('cuda', name, { dtype, kvDtype }, async (model) => {
        expect(model.info.device).toBe('cuda:0');
        expect(model.info.gpuLayers).toBe(model.info.layers);
        expect(await everything(model, perRequest), `order ${order}`).toEqual(expected);
      });
    }
    await on('cuda', name, { dtype, kvDtype, gpuLayers: 1 }, async (model) => {
      expect(model.info.gpuLayers).toBe(1);
      expect(await everything(model, perRequest)).toEqual(expected);
    });
  });
});

describe('compare', () => {
  // The model of three letters, nightly that of stories.
  const subject = isNightly ? 'stories-260k' : 'nano-gpt-sort';
  const letters = 'ABCCAB'.repeat(40);
  const size = isNightly ? { windowTokens: 32 } : { text: letters };
  const quick = { ...size, windows: 1, promptLengths: [4], decodeTokens: 2, latencySeconds: 0 };

  it('runs where it is told to, and measures the same quality there', async () => {
    const onGpu = await compare(subject, { ...quick, device: 'cuda', layers: false });
    const onCpu = await compare(subject, { ...quick, device: 'cpu', layers: false, latency: false });
    for (const mode of ['fp32', 'int8'] as const) {
      expect(onGpu[mode]!.device).toBe('cuda:0');
      expect(onCpu[mode]!.device).toBe('cpu');
    }
    expect(onGpu.quality!.meanKl).toBeGreaterThan(0);
    expect(onGpu.quality).toEqual(onCpu.quality);
    expect(onGpu.speedup!.decode!.ratio).toBeGreaterThan(0);
    const missing = compare(subject, { ...quick, device: 'cuda:1' });
    await expect(missing).rejects.toMatchObject({ code: 'DEVICE_UNAVAILABLE' });
  });

  it('shares the layers as it is told to', async () => {
    const flags = ['--windows', '1', '--only', 'quality', '--device', 'cuda', '--gpu-layers', '1', '--json'];
    const folder = mkdtempSync(join(tmpdir(), 'kvasir-cuda-'));
    const own = join(folder, 'text.txt');
    writeFileSync(own, letters);
    if (!isNightly) flags.push('--text', own);
    const { stdout, stderr, status } = await kvasir(['compare', subject, ...flags], {
      env: { [libraryVariable]: emulatedLibrary },
    });
    rmSync(folder, { recursive: true });
    expect(stderr).not.toContain('[');
    expect(status).toBe(0);
    expect(JSON.parse(stdout).int8).toMatchObject({
      device: 'cuda:0',
      kernels: expect.stringContaining(' + '),
    });
  });
});

/** A command on its own: the emulation reads its variables once a process. */
const story = (options: readonly string[], env: NodeJS.ProcessEnv = {}) =>
  kvasir(['run', 'stories-260k', 'Once upon a time', '--temperature', '0', ...options], {
    env: { [libraryVariable]: emulatedLibrary, ...env },
  });

describe('from the command line', () => {
  it('a story is the same on the CPU and on the GPU, however its threads are ordered', async () => {
    const expected = await story(['--device', 'cpu', '--max-tokens', '60']);
    expect(expected.status).toBe(0);
    for (const seed of isNightly ? orders : ['2']) {
      const told = await story(['--device', 'cuda', '--max-tokens', '60'], { KVASIR_EMULATION_SEED: seed });
      expect(told.stderr).toContain('cuda:0');
      expect(told.stdout, `seed ${seed}`).toBe(expected.stdout);
    }
  });

  it('a device that is lost on the way ends the request with DEVICE_UNAVAILABLE', async () => {
    const lost = await story(['--device', 'cuda', '--max-tokens', '400'], {
      KVASIR_EMULATION_FAULT: 'lost:1000',
    });
    expect(lost.stderr).toContain('[DEVICE_UNAVAILABLE]');
    expect(lost.status).toBe(1);
  });

  it('a GPU that is too small for the layers that were asked for says what it refused', async () => {
    const env = { KVASIR_EMULATION_MEMORY: String(2 ** 20) };
    const refused = await story(['--device', 'cuda', '--gpu-layers', '5'], env);
    expect(refused.stderr).toMatch(/refused \d+ bytes for .*\[INSUFFICIENT_MEMORY\]/);
    expect(refused.status).toBe(1);
  });
});

describe('a library that is not there', () => {
  it('is an error with its path', async () => {
    process.env[libraryVariable] = '/nowhere/kvasir_cuda.so';
    try {
      const failed = Model.load('stories-260k', { device: 'cuda' });
      await expect(failed).rejects.toMatchObject({
        code: 'DEVICE_UNAVAILABLE',
      } satisfies Partial<KvasirError>);
      await expect(failed).rejects.toThrow('/nowhere/kvasir_cuda.so');
    } finally {
      process.env[libraryVariable] = emulatedLibrary;
    }
  });
});

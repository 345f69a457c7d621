/** gpu-check where there is no GPU: what it says, its arithmetic, and its comparison of devices on the emulated one. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { Model } from '../../lib/index.js';
import { native } from '../../lib/native.js';
import { benchWorks, int8Peak, markdownOf, operationsPerToken, sharesOf } from '../../scripts/gpu-bench.mjs';
import { compareDevices, firstDifference } from '../../scripts/gpu-parity.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const emulated = `${root}build/Release/kvasir_cuda_emulated.so`;

const device = {
  ...{ index: 0, name: 'NVIDIA H200', architecture: 'sm_90', multiprocessors: 132 },
  ...{ totalMemory: 141 * 2 ** 30, bandwidth: 4.8e12, clock: 1.83e9 },
};
const bench = (dtype: string, weights: number) => ({
  ...{ model: 'smollm2-135m', dtype },
  prefill: { tokens: 512, tokensPerSecond: 100_000, samples: [90_000, 100_000, 110_000] },
  decode: {
    ...{ tokens: 128, depth: 0, batch: 1, tokensPerSecond: 2000, samples: [1900, 2000] },
    bytesPerToken: { weights, scales: 4e6, kv: 6e6 },
  },
});

describe('the arithmetic of gpu-check', () => {
  it('knows the INT8 peak of data sheets', () => {
    expect(int8Peak(device)! / 1e12).toBeCloseTo(1979, 0);
    const rtx4090 = { ...device, architecture: 'sm_89', multiprocessors: 128, clock: 2.52e9 };
    expect(int8Peak(rtx4090)! / 1e12).toBeCloseTo(661, 0);
    const between = { ...device, architecture: 'sm_87' };
    expect(int8Peak(between)).toBe(2048 * 132 * 1.83e9);
    expect(int8Peak({ ...device, clock: undefined })).toBeUndefined();
  });

  it('counts two operations for each weight of the layers', () => {
    const linears = {
      'embed.tokens': { inputs: 64, outputs: 1000 },
      'layers.0.qkv': { inputs: 64, outputs: 96 },
      'layers.1.down': { inputs: 128, outputs: 64 },
      lm_head: { inputs: 64, outputs: 1000 },
    };
    expect(operationsPerToken(linears)).toBe(2 * (64 * 96 + 128 * 64));
  });

  it('takes decode for a share of the bandwidth and INT8 prefill for one of the INT8 peak', () => {
    const operations = 2.1e8;
    const shares = sharesOf(bench('int8', 134e6), device, operations);
    expect(shares.bandwidth).toBeCloseTo((144e6 * 2000) / 4.8e12, 10);
    expect(shares.int8).toBeCloseTo((2.1e8 * 1e5) / (8192 * 132 * 1.83e9), 10);
    expect(sharesOf(bench('fp32', 134e6), device, operations).int8).toBeUndefined();
    const unknown = { ...device, bandwidth: undefined, clock: undefined };
    expect(sharesOf(bench('int8', 134e6), unknown, operations)).toEqual({});
  });

  it('measures prefill, decode, batches and depth', () => {
    expect(benchWorks.some(({ batch, depth }) => batch === 1 && depth === 0)).toBe(true);
    expect(benchWorks.some(({ batch }) => batch > 8)).toBe(true);
    expect(benchWorks.some(({ depth }) => depth >= 1024)).toBe(true);
  });

  it('writes a table that names the device, what differs and every measurement', () => {
    const text = markdownOf({
      ...{ date: '2030-01-01', kvasir: '1.2.3', commit: 'abc', device, driverVersion: '13.0' },
      parity: [
        { name: 'kernels', passed: true, detail: '9 passed, 0 failed' },
        { name: 'tiny-llama, int8', passed: false, detail: 'run 1, token 2: 5 instead of 7' },
      ],
      benchmarks: [{ ...bench('int8', 134e6), shares: { bandwidth: 0.06, int8: 0.0106 } }],
    });
    expect(text).toMatch(
      /^Kvasir 1\.2\.3 \(abc\) on a GPU, 2030-01-01: NVIDIA H200, sm_90, .*4800 GB\/s .*1979 tera/,
    );
    expect(text).toContain(
      '- equal: kernels (9 passed, 0 failed)\n- DIFFERENT: tiny-llama, int8 (run 1, token 2: 5',
    );
    const row =
      '| smollm2-135m | int8 | 1 | 512 | 100000 (90000 to 110000) | 1.1 % | 0 | 2000 (1900 to 2000) | 6.0 % |';
    expect(text).toContain(row);
  });
});

describe('the comparison of devices', () => {
  const before = process.env.KVASIR_CUDA_LIBRARY;
  afterEach(() => {
    if (before === undefined) delete process.env.KVASIR_CUDA_LIBRARY;
    else process.env.KVASIR_CUDA_LIBRARY = before;
  });

  it('finds the first token or log-probability that differs', () => {
    const run = (tokens: number[], logprob = -1) => ({
      tokens,
      logprobs: tokens.map((id) => ({ id, logprob })),
    });
    const expected = [run([1, 2]), run([3, 4])];
    expect(firstDifference(expected, [run([1, 2]), run([3, 4])])).toBeUndefined();
    expect(firstDifference(expected, [run([1, 2]), run([3, 5])])).toBe('run 2, token 2: 5 instead of 4');
    expect(firstDifference(expected, [run([1, 2], -1.0000001), run([3, 4])])).toBe(
      'run 1, token 1: other log-probabilities',
    );
    expect(firstDifference(expected, [run([1]), run([3, 4])])).toBe('run 1, token 2: undefined instead of 2');
  });

  const there = existsSync(emulated);
  it.skipIf(!there)(`passes on the emulated GPU${there ? '' : ' [skipped: it is not built]'}`, async () => {
    process.env.KVASIR_CUDA_LIBRARY = emulated;
    const subject = { reference: 'nano-gpt-sort', name: 'nano-gpt-sort', promptTokens: 6, maxTokens: 4 };
    const verdicts = [];
    for await (const verdict of compareDevices(Model, subject)) verdicts.push(verdict);
    expect(verdicts.map(({ passed }) => passed)).toEqual(Array(6).fill(true));
    expect(verdicts[1]!.name).toBe('nano-gpt-sort, int8, the last layer on the GPU');
    expect(verdicts[4]!.name).toBe('nano-gpt-sort, int8 with a cache of fp16, all layers on the GPU');
  });
});

// On a machine with one it would check for minutes: that is no test.
const hasGpu = (await native().cuda(false)).status === 'OK';

describe('npm run gpu-check', () => {
  it.skipIf(hasGpu)('says that there is no GPU, and why, and fails', () => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [`${root}scripts/gpu-check.mjs`], {
      encoding: 'utf8',
    });
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(stderr).toMatch(
      /(There is no GPU to check: Device 'cuda' cannot be used: .+|There is no nvcc .+)\n$/,
    );
    expect(stderr).not.toMatch(/^ +at /m);
  });
});

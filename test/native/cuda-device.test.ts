/** Which device is chosen and what users are told, for everything that a CUDA library can say: a fake one says it. */
import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { chooseDevice } from '../../lib/device.js';
import type { CudaReport } from '../../lib/native.js';
import { cudaAbi } from '../../scripts/sources.mjs';
import { findProgram } from '../../scripts/toolchain.mjs';
import { kvasir, type Outcome } from '../cli/cli-command.js';

const checkout = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');
const scratch = mkdtempSync(join(tmpdir(), 'kvasir-cuda-device-'));
const fake = join(scratch, 'fake.so');
const foreign = join(scratch, 'foreign.so');

function objectOf<T>({ status, stdout }: Outcome, expectedStatus = 0): T {
  expect(status).toBe(expectedStatus);
  return JSON.parse(stdout) as T;
}

function compileFake(out: string, abi: string): void {
  const compiler = findProgram('g++') ?? findProgram('clang++') ?? 'c++';
  const sources = ['test/native/cuda-fake-library.cc', 'native/core/error.cc'];
  const flags = ['-std=c++20', '-fPIC', '-shared', '-fvisibility=hidden', '-I', 'native'];
  execFileSync(compiler, [...flags, `-DKVASIR_CUDA_ABI="${abi}"`, ...sources, '-o', out], { cwd: checkout });
}

beforeAll(() => {
  compileFake(fake, cudaAbi(checkout));
  compileFake(foreign, 'another');
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

interface Gpu {
  used: boolean;
  reason: string;
  status: string;
  library: { path: string; targets?: string; runtimeVersion?: string };
  driverVersion?: string;
  devices: Record<string, unknown>[];
}

async function doctor(env: NodeJS.ProcessEnv, status = 0): Promise<{ gpu: Gpu; problems: string[] }> {
  return objectOf(await kvasir(['doctor', '--json'], { env: { KVASIR_CUDA_LIBRARY: fake, ...env } }), status);
}

describe('what is told of the CUDA library', () => {
  const cases: [what: string, env: NodeJS.ProcessEnv, status: string, reason: RegExp][] = [
    [
      'a driver that is missing',
      { FAKE_CUDA_DRIVER: '0' },
      'NO_DRIVER',
      /^There is no NVIDIA driver .*install it/,
    ],
    [
      'a driver that is too old',
      { FAKE_CUDA_DRIVER: '12040', FAKE_CUDA_STATUS: '35' },
      'DRIVER_TOO_OLD',
      /^The NVIDIA driver is for CUDA 12\.4, the CUDA library for CUDA 13\.0: update the driver/,
    ],
    ['no device', { FAKE_CUDA_STATUS: '100' }, 'NO_DEVICE', /shows no GPU: check .*CUDA_VISIBLE_DEVICES/],
    ['no device, without an error', { FAKE_CUDA_DEVICES: '0' }, 'NO_DEVICE', /shows no GPU/],
    [
      'another failure',
      { FAKE_CUDA_STATUS: '803' },
      'FAILED',
      /^CUDA does not start \(the fake's error\): check/,
    ],
    [
      'an architecture that the library has no code for',
      { FAKE_CUDA_DEVICES: '1', FAKE_CUDA_ARCH: '86' },
      'WRONG_ARCHITECTURE',
      /^Fake GPU 0 has architecture sm_86, and this build holds code for 90 only: build Kvasir again/,
    ],
    [
      'an architecture that is too old',
      { FAKE_CUDA_DEVICES: '1', FAKE_CUDA_ARCH: '61' },
      'WRONG_ARCHITECTURE',
      /^Fake GPU 0 has architecture sm_61, and Kvasir needs sm_75 or newer/,
    ],
    [
      'a device without memory',
      { FAKE_CUDA_FREE: '2' },
      'FAILED',
      /^CUDA cannot use the device \(all of it is taken\)/,
    ],
    [
      'a device that is gone',
      { FAKE_CUDA_DESCRIBE: '101' },
      'FAILED',
      /^CUDA cannot describe the device \(no such/,
    ],
    [
      'a library that is not where it should be',
      { KVASIR_CUDA_LIBRARY: '/nowhere/kvasir_cuda.so' },
      'NO_LIBRARY',
      /^KVASIR_CUDA_LIBRARY names \/nowhere\/kvasir_cuda\.so, which does not exist: correct it or unset it/,
    ],
    [
      'a library of other sources',
      { KVASIR_CUDA_LIBRARY: foreign },
      'OTHER_VERSION',
      /from other sources than the addon/,
    ],
    [
      'a library that is something else',
      { KVASIR_CUDA_LIBRARY: join(checkout, 'build/Release/kvasir.node') },
      'BROKEN_LIBRARY',
      /it is no CUDA library of Kvasir\): build Kvasir again/,
    ],
    [
      'a file that is no library',
      { KVASIR_CUDA_LIBRARY: join(checkout, 'package.json') },
      'BROKEN_LIBRARY',
      /cannot be opened \(.*(invalid ELF|too short).*\): build Kvasir again/,
    ],
  ];

  it.each(cases)('%s', async (_what, env, status, reason) => {
    const { gpu, problems } = await doctor(env);
    expect(gpu).toMatchObject({ used: false, status, reason: expect.stringMatching(reason) });
    // It keeps no model from running.
    expect(problems).toEqual([]);
    expect(gpu.library.path).toBe(env.KVASIR_CUDA_LIBRARY ?? fake);
  });

  it('devices, versions and memory, where all is well', async () => {
    const { gpu, problems } = await doctor({});
    expect(problems).toEqual([]);
    expect(gpu).toMatchObject({
      ...{ used: true, status: 'OK', driverVersion: '13.0' },
      reason: 'cuda:0 Fake GPU 0: the first GPU that can be used',
      library: { path: fake, targets: '90', runtimeVersion: '13.0' },
    });
    expect(gpu.devices[0]).toEqual({
      ...{ index: 0, name: 'Fake GPU 0', architecture: 'sm_90', multiprocessors: 132 },
      ...{ totalMemory: 80 * 2 ** 30, freeMemory: 79 * 2 ** 30, bandwidth: 3.35e12 },
    });
    expect(gpu.devices).toHaveLength(2);
    const env = { KVASIR_CUDA_LIBRARY: fake, FAKE_CUDA_ARCH: '80' };
    const { stdout } = await kvasir(['doctor'], { env });
    expect(stdout).toMatch(/^GPU +used: cuda:1 Fake GPU 1: the first GPU that can be used$/m);
    expect(stdout).toMatch(/^CUDA library +.*fake\.so, CUDA 13\.0, code for 90$/m);
    expect(stdout).toMatch(/^NVIDIA driver +CUDA 13\.0/m);
    expect(stdout).toMatch(
      /^cuda:0 +Fake GPU 0, sm_80, .*; cannot be used: Fake GPU 0 has architecture sm_80/m,
    );
    expect(stdout).toMatch(/^cuda:1 +Fake GPU 1, sm_90, 132 multiprocessors, 84\.83 GB free of 85\.90 GB$/m);
  });

  it('a GPU that KVASIR_DEVICE asks for and that is not there, as a problem', async () => {
    const { gpu, problems } = await doctor({ KVASIR_DEVICE: 'cuda:5' }, 1);
    expect(problems).toEqual([
      expect.stringMatching(/^Device 'cuda:5' cannot be used: CUDA shows cuda:0 to cuda:1;/),
    ]);
    expect(gpu).toMatchObject({ used: false, status: 'OK' });
    expect((await doctor({ KVASIR_DEVICE: 'cpu' })).gpu).toMatchObject({
      used: false,
      reason: "device 'cpu' was asked for",
    });
  });

  it('why there is no library beside the addon', async () => {
    // A package of its own: the checkout's build stays as it is.
    const folder = join(scratch, 'package');
    mkdirSync(join(folder, 'build/Release'), { recursive: true });
    for (const name of ['package.json', 'build/Release/kvasir.node']) {
      copyFileSync(join(checkout, name), join(folder, name));
    }
    execFileSync('cp', ['-r', join(checkout, 'dist'), join(checkout, 'models'), folder]);
    execFileSync('ln', ['-s', join(checkout, 'node_modules'), join(folder, 'node_modules')]);
    const record = { built: false, reason: 'nvcc was found nowhere' };
    writeFileSync(join(folder, 'build/Release/kvasir_cuda.json'), JSON.stringify(record));
    const main = join(folder, 'dist/cli/main.js');
    const env = { ...process.env, KVASIR_CUDA_LIBRARY: '' };
    const report = execFileSync(process.execPath, [main, 'doctor', '--json'], { env, encoding: 'utf8' });
    expect(JSON.parse(report).gpu).toMatchObject({
      ...{ used: false, status: 'NO_LIBRARY', devices: [] },
      reason: expect.stringMatching(
        ['/dev/nvidiactl', '/dev/nvidia0', '/dev/dxg'].some((file) => existsSync(file))
          ? /^This build has no CUDA library: install NVIDIA's CUDA toolkit \(nvcc\) and build/
          : /^No NVIDIA GPU was found, and this build has no CUDA library\.$/,
      ),
      library: { path: join(folder, 'build/Release/kvasir_cuda.so'), build: record },
    });
    const text = execFileSync(process.execPath, [main, 'doctor'], { env, encoding: 'utf8' });
    expect(text).toMatch(/^CUDA library +not built: nvcc was found nowhere$/m);
  });
});

describe('the choice of the device', () => {
  const report = (status: CudaReport['status'], problems: (string | undefined)[] = []): CudaReport => ({
    ...{ status, message: status === 'OK' ? '' : 'Something is wrong.', library: 'x' },
    devices: problems.map((problem, index) => ({
      ...{ index, name: `GPU ${index}`, architecture: 'sm_90', multiprocessors: 1, totalMemory: 1 },
      ...(problem === undefined ? {} : { problem }),
    })),
  });
  const ok = report('OK', ['It is old.', undefined]);
  const none = report('NO_DRIVER');
  const choose = (options: Parameters<typeof chooseDevice>[0], found = ok) =>
    chooseDevice(options, async () => found);

  it('takes the first GPU that can be used, or the one that is named', async () => {
    expect(await choose({})).toMatchObject({ index: 1, device: 'cuda:1', name: 'GPU 1' });
    expect(await choose({ device: 'cuda' })).toMatchObject({
      index: 1,
      reason: "device 'cuda' was asked for",
    });
    expect(await choose({ device: 'cuda:1', gpuLayers: 3 })).toMatchObject({ index: 1 });
  });

  it("falls back to the CPU with the reason, for 'auto' alone", async () => {
    expect(await choose({ device: 'auto' }, none)).toEqual({
      index: -1,
      device: 'cpu',
      reason: 'Something is wrong.',
    });
    await expect(choose({ device: 'cuda' }, none)).rejects.toMatchObject({
      code: 'DEVICE_UNAVAILABLE',
      message: "Device 'cuda' cannot be used: Something is wrong. Device 'cpu' or 'auto' works without it.",
    });
    await expect(choose({ device: 'cuda:0' })).rejects.toThrow(/It is old\./);
    await expect(choose({ device: 'cuda:2' })).rejects.toThrow(/CUDA shows cuda:0 to cuda:1;/);
    await expect(choose({ device: 'cuda:1' }, report('OK', [undefined]))).rejects.toThrow(
      /shows cuda:0 only;/,
    );
  });

  it('takes a number of GPU layers for a wish for a GPU, and 0 for the CPU', async () => {
    await expect(choose({ gpuLayers: 2 }, none)).rejects.toMatchObject({ code: 'DEVICE_UNAVAILABLE' });
    await expect(choose({ device: 'cpu', gpuLayers: 2 })).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    expect(await choose({ device: 'cuda', gpuLayers: 0 }, none)).toMatchObject({
      index: -1,
      reason: 'gpuLayers is 0',
    });
    expect(await choose({ device: 'cpu', gpuLayers: 'auto' })).toMatchObject({ index: -1 });
  });

  it('asks CUDA nothing when the CPU is wanted', async () => {
    const asked = async (): Promise<CudaReport> => {
      throw new Error('asked');
    };
    expect(await chooseDevice({ device: 'cpu' }, asked)).toMatchObject({ device: 'cpu' });
    expect(await chooseDevice({ gpuLayers: 0 }, asked)).toMatchObject({ device: 'cpu' });
  });
});

describe('a run', () => {
  const run = (env: NodeJS.ProcessEnv, ...flags: string[]) =>
    kvasir(['run', 'stories-260k', 'Once', '-n', '4', '--json', ...flags], {
      env: { KVASIR_CUDA_LIBRARY: fake, ...env },
    });

  it('says on which device and why', async () => {
    const result = objectOf<Record<string, unknown>>(await run({ FAKE_CUDA_DRIVER: '0' }));
    expect(result).toMatchObject({
      ...{ device: 'cpu', gpuLayers: 0, deviceReason: expect.stringMatching(/^There is no NVIDIA driver/) },
      deviceName: expect.stringMatching(/./),
    });
    const asked = objectOf<Record<string, unknown>>(await run({ KVASIR_DEVICE: 'cpu' }));
    expect(asked).toMatchObject({ device: 'cpu', deviceReason: "device 'cpu' was asked for" });
  });

  it('fails where the GPU that was asked for is not there', async () => {
    const { status, stdout } = await run({ FAKE_CUDA_STATUS: '100' }, '--device', 'cuda');
    expect(status).toBe(1);
    expect(JSON.parse(stdout).error).toMatchObject({
      code: 'DEVICE_UNAVAILABLE',
      message: expect.stringMatching(/^Device 'cuda' cannot be used: The NVIDIA driver shows no GPU/),
    });
  });

  it('gets the errors of the library as its own, across the border', async () => {
    const { status, stdout } = await run({}, '--device', 'cuda:1');
    expect(status).toBe(1);
    expect(JSON.parse(stdout).error).toMatchObject({
      code: 'INSUFFICIENT_MEMORY',
      message: 'the fake has no backend for device 1',
    });
  });

  it('refuses layers that the model does not have', async () => {
    const { status, stdout } = await run({}, '--gpu-layers', '6');
    expect(status).toBe(1);
    expect(JSON.parse(stdout).error).toMatchObject({
      code: 'INVALID_OPTION',
      message: expect.stringMatching(
        /gpu-?layers is 6; it must be 'auto' or an integer from 0 to 5 for this model/i,
      ),
    });
    expect((await run({}, '--gpu-layers', '-1')).status).toBe(2);
  });
});

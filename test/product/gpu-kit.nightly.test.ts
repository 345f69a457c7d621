/** The kit as it is made: its size, what it must not hold, the glibc it wants, and its run where there is no GPU. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { native } from '../../lib/native.js';
import { findNvcc } from '../../scripts/toolchain.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const hasGpu = (await native().cuda(false)).status === 'OK';
let folder = '';
let tookMs = 0;

beforeAll(() => {
  if (!findNvcc()) return;
  folder = join(mkdtempSync(join(tmpdir(), 'kvasir-kit-')), 'kit');
  const begun = performance.now();
  const args = [`${root}scripts/gpu-kit.mjs`, '--out', folder];
  const made = spawnSync(process.execPath, args, { encoding: 'utf8' });
  tookMs = performance.now() - begun;
  expect(made.status, made.stderr).toBe(0);
}, 900_000);
afterAll(() => {
  if (folder) rmSync(join(folder, '..'), { recursive: true, force: true });
});

function files(): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) =>
    statSync(join(folder, name)).isFile(),
  );
}

describe.skipIf(!findNvcc())('the GPU kit as it is made', () => {
  it('is made in under 4 minutes, of at most 55 MB', () => {
    expect(tookMs).toBeLessThan(240_000);
    const bytes = files().reduce((sum, name) => sum + statSync(join(folder, name)).size, 0);
    expect(bytes).toBeGreaterThan(40e6);
    expect(bytes).toBeLessThanOrEqual(55e6);
  });

  it.skipIf(hasGpu)('says within seconds that there is no GPU, everything having been loaded', () => {
    const env = ['-i', 'PATH=/usr/bin:/bin'];
    const begun = performance.now();
    const ran = spawnSync('env', [...env, 'sh', join(folder, 'run.sh'), '300'], { encoding: 'utf8' });
    expect(performance.now() - begun).toBeLessThan(20_000);
    expect(ran.status, ran.stdout).toBe(1);
    expect(ran.stdout).toMatch(/^Device and driver: FAILED .*There is no NVIDIA driver/);
    const { parts } = JSON.parse(readFileSync(join(folder, 'results/gpu-kit.json'), 'utf8'));
    const passed = parts[0].results.filter((result: { passed: boolean }) => result.passed);
    expect(passed.map(({ name }: { name: string }) => name)).toEqual([
      'addon',
      'kernel tests',
      'cuda_measure',
      'CUDA library',
    ]);
  });

  it('holds no path of the machine that made it, and wants glibc 2.34 at most', () => {
    const home = homedir();
    const secrets = [root.replace(/\/$/, ''), ...(home.split('/').length > 2 ? [home] : [])];
    const unpacked = files().filter((name) => !name.endsWith('.gz') && !name.startsWith('results'));
    for (const name of unpacked) {
      const bytes = readFileSync(join(folder, name));
      for (const secret of secrets) expect(bytes.includes(secret), name).toBe(false);
    }
    for (const name of ['kvasir.node', 'kvasir_cuda.so', 'native_tests_gpu', 'cuda_measure']) {
      expect(unpacked).toContain(`app/build/Release/${name}`);
      const { stdout } = spawnSync('objdump', ['-T', join(folder, 'app/build/Release', name)], {
        encoding: 'utf8',
      });
      const versions = [...stdout.matchAll(/GLIBC_2\.(\d+)/g)].map(([, minor]) => Number(minor));
      expect(versions.length).toBeGreaterThan(10);
      expect(Math.max(...versions), name).toBeLessThanOrEqual(34);
      expect(stdout).not.toMatch(/GLIBCXX_/);
    }
  });
});

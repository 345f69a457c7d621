import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  buildCuda,
  cudaArchitectures,
  cudaLibraryPath,
  cudaManifestPath,
  cudaRecordPath,
  includedFiles,
  wantedArchitectures,
} from '../../scripts/cuda-build.mjs';
import { cudaAbi, readSources } from '../../scripts/sources.mjs';
import { findNvcc, hasGpu } from '../../scripts/toolchain.mjs';

const checkout = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');
let root = '';
let said = '';
/** The root of a file system with a GPU. */
let system = '';

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'kvasir-cuda-'));
  system = join(root, 'system');
  put('system/dev/nvidia0', '');
  said = '';
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    said += text;
    return true;
  });
});
afterEach(() => {
  vi.restoreAllMocks();
  rmSync(root, { recursive: true, force: true });
});

function put(name: string, text: string): string {
  const path = join(root, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
  return path;
}

/** A compiler that copies its input, writes down each call, and fails on a source that says so. */
function putNvcc(folder: string, version = '13.0', known = cudaArchitectures): string {
  const path = put(
    `${folder}/nvcc`,
    `#!/bin/bash
case "$1" in
  --version) echo "Cuda compilation tools, release ${version}, V${version}.1"; exit 0;;
  --list-gpu-code) printf 'sm_%s\\n' ${known.join(' ')}; exit 0;;
esac
echo "$*" >> ${root}/calls
for ((i = 1; i <= $#; i++)); do
  [[ "\${!i}" == -o ]] && next=$((i + 1)) && out="\${!next}"
  [[ "\${!i}" == -c ]] && next=$((i + 1)) && in="\${!next}"
done
if [[ -n "$in" ]] && grep -q FAILS "$in"; then echo "error in $in" >&2; exit 1; fi
echo "ptxas info of $in"
echo object > "$out"
`,
  );
  chmodSync(path, 0o755);
  return path;
}

function putSources(): void {
  put(
    'native/sources.txt',
    'border core/b.h\nshared core/e.cc\ncore core/c.cc\ncuda backend/cuda/a.cu\ncuda backend/cuda/d.cu\n',
  );
  put('native/core/b.h', 'int b;\n');
  put('native/core/c.cc', 'int c;\n');
  put('native/core/e.cc', '#include "core/b.h"\n');
  put('native/backend/cuda/a.cu', '#include "backend/cuda/a.cuh"\n#include <cuda_runtime.h>\n');
  put('native/backend/cuda/a.cuh', '#include "core/b.h"\n#include "cuda_emulation.h"\n');
  put('native/backend/cuda/d.cu', 'int d;\n');
  put('native/backend/cuda/exports.map', '{ local: *; };\n');
}

const env = (more: NodeJS.ProcessEnv = {}) => ({ PATH: `${join(root, 'bin')}:${process.env.PATH}`, ...more });

/** Sources compiled by this build, or 'link'. */
async function build(more: NodeJS.ProcessEnv = {}, optional = false): Promise<string[]> {
  rmSync(join(root, 'calls'), { force: true });
  await buildCuda(root, { jobs: 2, env: env(more), optional, system });
  if (!existsSync(join(root, 'calls'))) return [];
  const calls = readFileSync(join(root, 'calls'), 'utf8').trim().split('\n');
  return calls.map((call) => / -c native\/(\S+)/.exec(call)?.[1] ?? 'link').sort();
}

const record = () => JSON.parse(readFileSync(join(root, cudaRecordPath), 'utf8'));

describe('a GPU', () => {
  it.each([
    ['dev/nvidia0', true],
    ['dev/nvidiactl', true],
    ['dev/dxg', true],
    ['dev/nvram', false],
    ['usr/lib/x86_64-linux-gnu/libcuda.so.1', true],
    ['usr/lib/x86_64-linux-gnu/libcudart.so.1', false],
    ['own/libcuda.so.1', true],
  ])('%s: %s', (file, expected) => {
    put(`other/${file}`, '');
    expect(hasGpu({ LD_LIBRARY_PATH: join(root, 'other/own') }, join(root, 'other'))).toBe(expected);
  });
});

describe('the CUDA compiler', () => {
  it('is looked for in CUDA_HOME, on PATH, then in the standard folder', () => {
    const standard = join(root, 'standard');
    expect(findNvcc({ PATH: '/nowhere' }, standard)).toBeUndefined();
    const inStandard = putNvcc('standard/bin');
    expect(findNvcc({ PATH: '/nowhere' }, standard)).toBe(inStandard);
    const onPath = putNvcc('path');
    expect(findNvcc({ PATH: join(root, 'path') }, standard)).toBe(onPath);
    const inHome = putNvcc('home/bin');
    expect(findNvcc({ PATH: join(root, 'path'), CUDA_HOME: join(root, 'home') }, standard)).toBe(inHome);
  });

  it('is asked for all architectures, or for those of KVASIR_CUDA_ARCHS', () => {
    expect(wantedArchitectures({})).toEqual([75, 80, 86, 89, 90, 100, 120]);
    expect(wantedArchitectures({ KVASIR_CUDA_ARCHS: '9.0, sm_86;86' })).toEqual([86, 90]);
    for (const wrong of ['x', '61', '8.6.1', ',']) {
      expect(() => wantedArchitectures({ KVASIR_CUDA_ARCHS: wrong }), wrong).toThrow(/KVASIR_CUDA_ARCHS is/);
    }
  });
});

describe('the build of the CUDA library', () => {
  beforeEach(putSources);

  it('compiles each source once, by content: a header recompiles what includes it, however deep', async () => {
    putNvcc('bin');
    expect(await build()).toEqual(['backend/cuda/a.cu', 'backend/cuda/d.cu', 'core/e.cc', 'link']);
    expect(record()).toEqual({ built: true, toolkit: '13.0', targets: cudaArchitectures });
    const { objects } = JSON.parse(readFileSync(join(root, cudaManifestPath), 'utf8'));
    expect(objects.map(({ path }: { path: string }) => path).sort()).toEqual([
      'backend/cuda/a.cu',
      'backend/cuda/d.cu',
      'core/e.cc',
    ]);
    expect(readFileSync(objects[1].log, 'utf8')).toMatch(/^ptxas info of native\/backend\/cuda\/a\.cu/);
    expect(await build()).toEqual([]);
    expect(said).toMatch(/up to date/);
    // Neither the core nor a touched file is any business of this library.
    put('native/core/c.cc', 'int changed;\n');
    put('native/backend/cuda/d.cu', 'int d;\n');
    expect(await build()).toEqual([]);
    put('native/backend/cuda/d.cu', 'int e;\n');
    expect(await build()).toEqual(['backend/cuda/d.cu', 'link']);
    put('native/backend/cuda/d.cu', 'int d;\n');
    expect(await build()).toEqual(['link']);
    put('native/backend/cuda/a.cuh', '#include "core/b.h"\nint more;\n');
    expect(await build()).toEqual(['backend/cuda/a.cu', 'link']);
  });

  it('gives device code every target and PTX of the newest, and no contraction of a*b+c anywhere', async () => {
    putNvcc('bin');
    await build({ KVASIR_CUDA_ARCHS: '80,90' });
    const calls = readFileSync(join(root, 'calls'), 'utf8').trim().split('\n');
    for (const call of calls.filter((one) => one.includes(' -c '))) {
      expect(call).toContain('-ffp-contract=off');
      expect(call).not.toMatch(/fast_math|ftz|prec-/);
    }
    const device = calls.find((call) => call.includes('a.cu '))!;
    expect(device).toContain('-fmad=false');
    expect(device).toContain('-gencode arch=compute_80,code=sm_80 ');
    expect(device).toContain('-gencode arch=compute_90,code=[sm_90,compute_90]');
    expect(device).toContain('KVASIR_CUDA_TARGETS="80 90 90+PTX"');
    expect(calls.at(-1)).toContain('-cudart=static');
  });

  it('leaves out what an older toolkit does not know, and a toolkit that is too old', async () => {
    putNvcc('bin', '12.4', [75, 80, 86, 89, 90]);
    await build();
    expect(record()).toEqual({ built: true, toolkit: '12.4', targets: [75, 80, 86, 89, 90] });
    putNvcc('bin', '11.8', [75, 80, 86]);
    expect(await build()).toEqual([]);
    expect(record()).toMatchObject({
      built: false,
      reason: expect.stringMatching(/of CUDA 11\.8, and 12\.0/),
    });
    expect(existsSync(join(root, cudaLibraryPath))).toBe(false);
  });

  it('is left out by KVASIR_CUDA=off, which also takes an older library away', async () => {
    putNvcc('bin');
    await build();
    expect(existsSync(join(root, cudaLibraryPath))).toBe(true);
    expect(await build({ KVASIR_CUDA: 'off' })).toEqual([]);
    expect(record()).toEqual({ built: false, reason: 'KVASIR_CUDA is off' });
    expect(existsSync(join(root, cudaLibraryPath))).toBe(false);
    // The objects are still there.
    expect(await build()).toEqual(['link']);
  });

  it('is left out without a GPU, unless it is asked for: by name or by architecture', async () => {
    putNvcc('bin');
    rmSync(system, { recursive: true });
    expect(await build()).toEqual([]);
    expect(record()).toMatchObject({
      built: false,
      reason: expect.stringMatching(/no NVIDIA GPU.*KVASIR_CUDA=on/),
    });
    expect(await build({ KVASIR_CUDA: 'on' })).toContain('link');
    expect(record()).toMatchObject({ built: true, targets: cudaArchitectures });
    expect(await build({ KVASIR_CUDA_ARCHS: '90' })).toContain('link');
    expect(record()).toMatchObject({ built: true, targets: [90] });
    expect(await build({ KVASIR_CUDA: 'off', KVASIR_CUDA_ARCHS: '90' })).toEqual([]);
  });

  it('that is asked for and cannot be built is an error, but not for an installation', async () => {
    putNvcc('bin', '11.8', [75, 80, 86]);
    await expect(build({ KVASIR_CUDA: 'on' })).rejects.toThrow(/asked for.*of CUDA 11\.8, and 12\.0/);
    expect(await build({ KVASIR_CUDA: 'on' }, true)).toEqual([]);
    expect(record()).toMatchObject({ built: false });
  });

  it('keeps its objects where KVASIR_CUDA_CACHE says: a fresh clone only links', async () => {
    putNvcc('bin');
    const cache = join(root, 'kept');
    await build({ KVASIR_CUDA_CACHE: cache });
    rmSync(join(root, 'build'), { recursive: true });
    expect(await build({ KVASIR_CUDA_CACHE: cache })).toEqual(['link']);
  });

  it('tells what the compiler said, keeps nothing half done, and lets an installation go on', async () => {
    putNvcc('bin');
    put('native/backend/cuda/d.cu', 'FAILS\n');
    await expect(build()).rejects.toThrow(/error in native\/backend\/cuda\/d\.cu[\s\S]*could not compile/);
    expect(readdirSync(join(root, 'build/cuda')).filter((name) => /^d-/.test(name))).toEqual([]);
    await build({}, true);
    expect(said).toMatch(/error in native\/backend\/cuda\/d\.cu[\s\S]*goes on without its CUDA library/);
    expect(record()).toEqual({ built: false, reason: 'nvcc failed when Kvasir was installed' });
  });
});

describe('the border to the CUDA library', () => {
  const border = readSources(checkout)
    .filter(({ kind }) => kind === 'border')
    .map(({ path }) => path);

  it('lists every header that crosses it', () => {
    const crossing = ['backend/cuda_library.h', 'core/error.h'].flatMap((path) => [
      path,
      ...includedFiles(checkout, path),
    ]);
    expect([...border].sort()).toEqual([...new Set(crossing)].sort());
  });

  it('has one hash in CMake and here, which follows the headers', () => {
    const commands: { file: string; command: string }[] = JSON.parse(
      readFileSync(join(checkout, 'build/compile_commands.json'), 'utf8'),
    );
    const command = commands.find(({ file }) => file.endsWith('native/backend/cuda_library.cc'))!.command;
    expect(command).toContain(cudaAbi(checkout));
    putSources();
    const before = cudaAbi(root);
    put('native/core/b.h', 'long b;\n');
    expect(cudaAbi(root)).not.toBe(before);
  });
});

/**
 * Which lane and register holds which element of an mma, as the emulation has it, against CuTe's MMA traits: NVIDIA's own
 * description, from the Python package nvidia-cutlass, compiled on the host.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { canRun, fetchPythonPackages, projectRoot } from './cuda-outside.js';

// CuTe includes CUDA's headers even where only its layouts are used.
const packages = [
  'nvidia-cutlass==4.2.0.0',
  'nvidia-cuda-runtime==13.0.96',
  'nvidia-cuda-crt==13.0.88',
  'nvidia-cuda-cccl==13.0.85',
];
const fetched = canRun('g++') ? fetchPythonPackages('cutlass-4.2.0.0', packages) : { reason: 'no g++' };
const folder = 'folder' in fetched ? fetched.folder : '';
const emulation = join(projectRoot, 'test/cuda_emulation');
const scratch = mkdtempSync(join(tmpdir(), 'kvasir-fragments-'));
afterAll(() => rmSync(scratch, { recursive: true }));

/** Lines that a host program of these sources prints. */
function runProgram(name: string, args: string[]): string[] {
  const program = join(scratch, name);
  const compiled = spawnSync('g++', ['-std=c++20', '-O0', '-w', ...args, '-o', program], {
    encoding: 'utf8',
  });
  expect(compiled.stderr).toBe('');
  const { status, stdout } = spawnSync(program, { encoding: 'utf8' });
  expect(status).toBe(0);
  return stdout.trim().split('\n').sort();
}

describe.skipIf('reason' in fetched)(
  `fragments of mma against CuTe${'reason' in fetched ? ` (${fetched.reason})` : ''}`,
  () => {
    let cute: string[] = [];
    let emulated: string[] = [];

    beforeAll(() => {
      const cuda = join(folder, 'nvidia/cu13/include');
      const includes = [join(folder, 'cutlass_library/source/include'), cuda, join(cuda, 'cccl')];
      expect(includes.filter((path) => !existsSync(path))).toEqual([]);
      const source = join(projectRoot, 'test/fixtures/cuda-fragments-cute.cc');
      cute = runProgram('cute', [...includes.flatMap((path) => ['-isystem', path]), source]);
      // Only the layouts are asked for: what the rest of that file needs is not linked.
      emulated = runProgram('emulated', [
        `-I${emulation}`,
        join(projectRoot, 'test/fixtures/cuda-fragments-emulated.cc'),
        ...['tensor_core', 'execution', 'fiber', 'shared_memory'].map((name) =>
          join(emulation, `${name}.cc`),
        ),
      ]);
    }, 120_000);

    it.each(['m16n8k32.s8', 'm16n8k32.u8', 'm8n8k16.s8', 'm8n8k16.u8'])('%s', (instruction) => {
      const of = (lines: string[]) => lines.filter((line) => line.startsWith(`${instruction} `));
      expect(of(cute)).toHaveLength(instruction.startsWith('m16') ? 32 * (16 + 8 + 4) : 32 * (4 + 4 + 2));
      expect(of(emulated)).toEqual(of(cute));
    });
  },
);

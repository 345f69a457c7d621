/** What the tests of the CUDA sources against an outside truth share: where nvcc is, and packages fetched into build/. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const projectRoot = fileURLToPath(new URL('../..', import.meta.url));

/** Whether a command can be started. */
export function canRun(command: string): boolean {
  return spawnSync(command, ['--version']).status === 0;
}

/**
 * Installs Python packages into a folder of build/outside that is kept, without their dependencies.
 * @param name the folder's name
 * @param packages requirements with exact versions
 * @returns the folder, or why there is none
 */
export function fetchPythonPackages(
  name: string,
  packages: string[],
): { folder: string } | { reason: string } {
  const folder = join(projectRoot, 'build', 'outside', name);
  if (existsSync(folder)) return { folder };
  const unfinished = `${folder}.${process.pid}`;
  mkdirSync(join(projectRoot, 'build', 'outside'), { recursive: true });
  const { status, stderr, error } = spawnSync(
    'python3',
    ['-m', 'pip', 'install', '--quiet', '--no-deps', '--no-compile', '--target', unfinished, ...packages],
    { encoding: 'utf8', timeout: 180_000 },
  );
  if (status !== 0) {
    rmSync(unfinished, { recursive: true, force: true });
    return { reason: error?.message ?? stderr.trim().split('\n').at(-1) ?? 'pip failed' };
  }
  if (existsSync(folder)) rmSync(unfinished, { recursive: true });
  else renameSync(unfinished, folder);
  return { folder };
}

// The Zig compiler (clang with the headers and libraries of every system) from the Python package index, in an ignored
// folder of the checkout, and wrappers that CMake takes for compilers. Needs python3 with pip, and the index once.
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from '../command.mjs';
import { Step } from '../progress.mjs';
import { findProgram, SetupError } from '../toolchain.mjs';

/** Pinned: another compiler is another binary. */
export const zigVersion = '0.15.2';

/**
 * @param {string} root of the checkout
 * @returns {Promise<{ program: string, env: NodeJS.ProcessEnv }>} `env`: what compiled objects are kept by
 */
export async function installZig(root) {
  const folder = join(root, 'build', 'zig', zigVersion);
  const program = join(folder, 'ziglang', 'zig');
  const cache = join(root, 'build', 'zig', 'cache');
  const env = { ...process.env, ZIG_GLOBAL_CACHE_DIR: cache, ZIG_LOCAL_CACHE_DIR: cache };
  const stamp = join(folder, 'installed');
  if (existsSync(stamp)) return { program, env };
  const python = findProgram('python3');
  if (!python) throw new SetupError('The packages need python3 with pip, which fetches the Zig compiler.');
  const step = new Step(`Zig ${zigVersion}`);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const pip = ['-m', 'pip', 'install', '--no-deps', '--target', folder, `ziglang==${zigVersion}`];
  const { status, output } = await run(python, pip);
  if (status !== 0) {
    step.fail();
    throw new SetupError(`${output.trimEnd()}\n\nziglang ${zigVersion} cannot be fetched: see above.`);
  }
  writeFileSync(stamp, `${zigVersion}\n`);
  step.done();
  return { program, env };
}

/** An executable of one line that passes its arguments on to a subcommand of Zig. */
export function writeWrapper(path, program, subcommand) {
  const text = `#!/bin/sh\nexec "${program}" ${subcommand} "$@"\n`;
  // A newer file would be another compiler to CMake.
  if (existsSync(path) && readFileSync(path, 'utf8') === text) return path;
  writeFileSync(path, text);
  chmodSync(path, 0o755);
  return path;
}

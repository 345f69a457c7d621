/** `kvasir build`: the native addon from the sources that come with the package. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import type { Command } from 'commander';
import { packageRoot } from '../package-root.js';
import type { Interrupts } from './interrupt.js';

const help = `
For a system that no prebuilt addon is published for, or to have one made by this machine's compiler, with the CUDA
library where there are a GPU and nvcc (KVASIR_CUDA=on builds it without a GPU too, KVASIR_CUDA=off leaves it out). Needs
a C++20 compiler (g++ 11 or clang 14), CMake, and Ninja or make; fetches cmake-js and the headers of Node-API from the
npm registry, once. What it makes lies in the package's own folder, so that an update of the package takes it away.`;

export function registerBuild(program: Command, interrupts: Interrupts): void {
  program
    .command('build')
    .description('build the native addon from source')
    .addHelpText('after', help)
    .action(async () => {
      process.exitCode = await runScript(interrupts);
    });
}

/** Its own process and words: the scripts of a checkout build an installed package too. */
function runScript(interrupts: Interrupts): Promise<number> {
  const script = join(packageRoot, 'scripts', 'setup.mjs');
  const child = spawn(process.execPath, [script, '--native-only'], { stdio: ['ignore', 2, 2] });
  interrupts.signal.addEventListener('abort', () => child.kill('SIGINT'));
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve(code ?? 1));
  });
}

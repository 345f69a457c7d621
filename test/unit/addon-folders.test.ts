/** Which addon is tried, and what a user reads where none is there: each package manager and each kind of trouble. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { addonFolders, explainMissing } from '../../lib/addon/folders.js';
import { kvasirCommand, packageManager } from '../../lib/addon/package-manager.js';
import { interpreterOf, mappedLibrary, prebuilt, systemName } from '../../lib/addon/platform.js';
import { findPackageRoot } from '../../lib/package-root.js';
import { targets } from '../../scripts/package/targets.mjs';

let project = '';
const installed = () => join(project, 'node_modules/kvasir');

function put(name: string, text = ''): void {
  mkdirSync(dirname(join(project, name)), { recursive: true });
  writeFileSync(join(project, name), text);
}
const putPackage = (name: string, version: string) =>
  put(`node_modules/${name}/package.json`, JSON.stringify({ name, version }));

beforeEach(() => {
  project = mkdtempSync(join(tmpdir(), 'kvasir-folders-'));
  putPackage('kvasir', '1.2.3');
});
afterEach(() => rmSync(project, { recursive: true, force: true }));

describe('the addon', () => {
  it('is taken from a build in the package, then from the package of this system', () => {
    const build = join(installed(), 'build/Release');
    expect(addonFolders(installed())).toEqual([build]);
    putPackage(`@kvasir/${systemName()}`, '1.2.3');
    expect(addonFolders(installed())).toEqual([build, join(project, 'node_modules/@kvasir', systemName())]);
  });

  it('of another version is not taken, and both versions are named', () => {
    putPackage(`@kvasir/${systemName()}`, '1.2.2');
    expect(addonFolders(installed())).toHaveLength(1);
    expect(explainMissing(installed(), [])).toBe(
      `The package @kvasir/${systemName()} is of version 1.2.2, and kvasir of 1.2.3. Install both again: npm install --include=optional kvasir@1.2.3`,
    );
  });

  it('is published for the systems that the loader knows', () => {
    expect(targets.map(({ name }) => name)).toEqual(prebuilt);
  });
});

describe('what is missing', () => {
  it.each([
    ['pnpm-lock.yaml', 'pnpm add kvasir@1.2.3', 'pnpm exec kvasir build'],
    ['yarn.lock', 'yarn add kvasir@1.2.3', 'yarn kvasir build'],
    ['bun.lock', 'bun add kvasir@1.2.3', 'bunx kvasir build'],
    ['package-lock.json', 'npm install --include=optional kvasir@1.2.3', 'npx kvasir build'],
  ])('is mended beside %s by %s or %s', (lock, install, build) => {
    put(lock);
    expect(explainMissing(installed(), [])).toContain(`Install it: ${install}`);
    expect(explainMissing(installed(), ['GLIBC_2.28 not found'])).toBe(
      `The native addon for ${systemName()} cannot be loaded (GLIBC_2.28 not found). Build it from source: ${build}`,
    );
  });

  it('in a checkout is built by its own script', () => {
    put('node_modules/kvasir/package-lock.json', '{}');
    put('node_modules/kvasir/lib/index.ts');
    expect(explainMissing(installed(), [])).toContain(`Build it: npm run build (in ${installed()})`);
  });
});

describe('the package manager', () => {
  it('is that of the project, else that which runs the process, else npm', () => {
    const env = { npm_config_user_agent: 'bun/1.4.4 npm/? node/v24.0.0 linux x64' };
    expect(packageManager(installed(), env)).toBe('bun');
    expect(packageManager(installed(), {})).toBe('npm');
    put('yarn.lock');
    expect(packageManager(installed(), env)).toBe('yarn');
    expect(kvasirCommand('yarn', 'build')).toBe('yarn kvasir build');
  });

  it('is found above a workspace, and behind the folders of pnpm', () => {
    put('pnpm-lock.yaml');
    const nested = join(project, 'node_modules/.pnpm/kvasir@1.2.3/node_modules/kvasir');
    expect(packageManager(nested, {})).toBe('pnpm');
    expect(packageManager(join(project, 'packages/app/node_modules/kvasir'), {})).toBe('pnpm');
  });
});

describe('the C library', () => {
  /** The head of an ELF file that names a loader. */
  function elf(interpreter: string): Buffer {
    const head = Buffer.alloc(256);
    head.writeUInt32BE(0x7f454c46, 0);
    head[4] = 2;
    head[5] = 1;
    head.writeBigUInt64LE(64n, 32);
    head.writeUInt16LE(56, 54);
    head.writeUInt16LE(2, 56);
    head.writeUInt32LE(1, 64);
    head.writeUInt32LE(3, 120);
    head.writeBigUInt64LE(200n, 128);
    head.writeBigUInt64LE(BigInt(interpreter.length + 1), 152);
    head.write(`${interpreter}\0`, 200);
    return head;
  }

  it('is that of the loader which the executable names', () => {
    expect(interpreterOf(elf('/lib/ld-musl-x86_64.so.1'))).toBe('/lib/ld-musl-x86_64.so.1');
    expect(interpreterOf(elf('/lib64/ld-linux-x86-64.so.2'))).toBe('/lib64/ld-linux-x86-64.so.2');
    for (const bytes of [Buffer.alloc(0), Buffer.from('#!/bin/sh\n'), elf('').subarray(0, 100)]) {
      expect(interpreterOf(bytes)).toBeUndefined();
    }
  });

  it.each([
    ['/usr/lib/x86_64-linux-gnu/libc.so.6', 'glibc'],
    ['/lib/x86_64-linux-gnu/libc-2.28.so', 'glibc'],
    ['/usr/lib/libc.so.6 (deleted)', 'glibc'],
    ['/lib/ld-musl-x86_64.so.1', 'musl'],
    ['/lib/libc.musl-aarch64.so.1', 'musl'],
    // Of Debian and of Void Linux.
    ['/usr/lib/x86_64-linux-musl/libc.so', 'musl'],
    ['/lib/ld-musl-x86_64.so.1 (deleted)', 'musl'],
    ['/usr/lib/libc.so.conf', undefined],
    ['/opt/mylibc.so', undefined],
    ['[vdso]', undefined],
  ])('with %s in memory is %s', (file, library) => {
    const line = (range: string, name: string) => `${range} r-xp 00026000 103:02 1324   ${name}\n`;
    const maps = [
      line('55d0c0a00000-55d0c2e00000', '/usr/bin/node'),
      line('7f2c9a028000-7f2c9a1bd000', file),
      '7ffd4e5fe000-7ffd4e600000 rw-p 00000000 00:00 0\n',
      line('7f2c9a400000-7f2c9a500000', '/usr/lib/libm.so.6'),
    ];
    expect(mappedLibrary(maps.join(''))).toBe(library);
    expect(mappedLibrary('')).toBeUndefined();
  });

  it.runIf(process.platform === 'linux')('of this Node is found', () => {
    const loader = interpreterOf(readFileSync(process.execPath).subarray(0, 4096));
    expect(loader).toMatch(/\/ld-/);
    expect(systemName().endsWith('-musl')).toBe(loader!.includes('musl'));
    const library = loader!.includes('musl') ? 'musl' : 'glibc';
    expect(mappedLibrary(readFileSync('/proc/self/maps', 'utf8'))).toBe(library);
  });
});

describe('the package root', () => {
  it('is above a file of the package, and otherwise where Node would find the package', () => {
    const url = (name: string) => pathToFileURL(join(project, name)).href;
    expect(findPackageRoot(url('node_modules/kvasir/dist/package-root.js'), [])).toBe(installed());
    expect(findPackageRoot(url('dist/bundle.js'), [])).toBe(installed());
    expect(findPackageRoot(undefined, [join(project, 'main.js')])).toBe(installed());
    expect(findPackageRoot('webpack://app/main.js', [undefined, join(project, 'x/main.js')])).toBe(
      installed(),
    );
    const without = mkdtempSync(join(tmpdir(), 'kvasir-without-'));
    try {
      const bundle = pathToFileURL(join(without, 'dist/bundle.js')).href;
      expect(findPackageRoot(bundle, [join(without, 'main.js')])).toBeUndefined();
    } finally {
      rmSync(without, { recursive: true });
    }
  });
});

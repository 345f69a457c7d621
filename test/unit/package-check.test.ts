/** What an addon is checked for before it is published: by the tables that the loader of each system reads. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { packageRoot } from '../../lib/package-root.js';
import { checkAddon, newestVersion } from '../../scripts/package/check.mjs';
import { readElf } from '../../scripts/package/elf.mjs';
import { readMachO } from '../../scripts/package/mach-o.mjs';
import { readPe } from '../../scripts/package/pe.mjs';
import { targetNamed } from '../../scripts/package/targets.mjs';
import { machO, pe } from './binary-samples.js';

const root = packageRoot.replace(/\/$/, '');
const entryPoints = ['napi_register_module_v1', 'node_api_module_get_api_version_v1'];
const mac = targetNamed('darwin-arm64')!;
const windows = targetNamed('win32-x64')!;
const [external, undefinedSymbol, hidden, debug] = [0x0f, 0x01, 0x1f, 0x24];
let folder = '';

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'kvasir-check-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function problemsOf(bytes: Buffer, target: typeof mac): string[] {
  const path = join(folder, 'kvasir.node');
  writeFileSync(path, bytes);
  return checkAddon(root, path, target).problems;
}

describe.runIf(process.platform === 'linux')('an ELF file', () => {
  const addon = join(root, 'build/Release/kvasir.node');
  const found = () => readElf(readFileSync(addon));

  it('is read as nm reads it', () => {
    const listing = execFileSync('nm', ['-D', addon], { encoding: 'utf8' }).split('\n');
    const namesOf = (kind: RegExp) =>
      listing
        .filter((line) => kind.test(line))
        .map((line) => line.replace(/^.* /, '').replace(/@.*/, ''))
        .sort();
    const { exported, wanted, needed, cpu } = found();
    expect(cpu).toBe(process.arch);
    expect(exported.sort()).toEqual(entryPoints);
    expect(exported).toEqual(namesOf(/ [TDBVWi] /));
    expect(wanted.sort()).toEqual(namesOf(/ [Uw] /));
    expect(needed).toContain('libstdc++.so.6');
  });

  it('of the system’s own compiler is not one to publish', () => {
    const target = targetNamed(`linux-${process.arch}`)!;
    const { problems, facts } = checkAddon(root, addon, target);
    expect(problems.find((problem) => problem.startsWith('needs the library'))).toContain('libstdc++.so.6');
    expect(problems.find((problem) => problem.startsWith('needs the version'))).toContain('GLIBCXX_');
    expect(Number(newestVersion(facts.versions)!.split('.')[0])).toBe(2);
    const other = targetNamed(process.arch === 'x64' ? 'linux-arm64-musl' : 'linux-x64-musl')!;
    const wrong = checkAddon(root, addon, other).problems;
    expect(wrong[0]).toBe(`it is for ${process.arch}, not ${other.cpu}`);
    expect(wrong.find((problem) => problem.startsWith('needs the library'))).toContain('libc.so.6');
  });
});

describe('a Mach-O file', () => {
  const system = '/usr/lib/libSystem.B.dylib';
  const good: [string, number, number][] = [
    ...entryPoints.map((name): [string, number, number] => [`_${name}`, external, 1]),
    ['_napi_create_object', undefinedSymbol, 0],
    ['_inside', hidden, 1],
    ['_of_debug_information', debug, 1],
  ];

  it('shows what others see of it, and wants what others have', () => {
    const { exported, wanted, needed, cpu } = readMachO(machO([system], good));
    expect({ exported, wanted, needed, cpu }).toEqual({
      exported: entryPoints,
      wanted: ['napi_create_object'],
      needed: [system],
      cpu: 'arm64',
    });
    expect(problemsOf(machO([system], good), mac)).toEqual([]);
  });

  it('may show what the linker and the C++ library inside show, and nothing else', () => {
    const show = (...names: string[]) => [
      ...good,
      ...names.map((name): [string, number, number] => [name, external, 1]),
    ];
    const shown = ['__mh_dylib_header', '___dso_handle', '__Znwm', '__ZdaPvSt11align_val_t'];
    expect(problemsOf(machO([system], show(...shown)), mac)).toEqual([]);
    const other = '__ZNSt3__16vectorE';
    expect(problemsOf(machO([system], show(...shown, other)), mac)).toEqual([`shows: ${other.slice(1)}`]);
  });

  it('is refused with a library that macOS lacks, and without an entry point', () => {
    const path = '/opt/homebrew/lib/libc++.1.dylib';
    expect(problemsOf(machO([system, path], good), mac)).toEqual([`needs the library: ${path}`]);
    expect(problemsOf(machO([system], good.slice(1)), mac)).toEqual([`does not show: ${entryPoints[0]}`]);
    expect(() => readMachO(Buffer.alloc(64))).toThrow('not a Mach-O file');
  });
});

describe('a PE file', () => {
  const imports: [string, (string | number)[]][] = [
    ['node.exe', ['napi_create_object', 7]],
    ['KERNEL32.dll', ['ReadFile']],
  ];

  it('shows its functions, and wants those of libraries, by name or number', () => {
    const { exported, wanted, needed, cpu } = readPe(pe(entryPoints, imports));
    expect({ exported, wanted, needed, cpu }).toEqual({
      exported: entryPoints,
      wanted: ['napi_create_object', 'ReadFile'],
      needed: ['node.exe', 'KERNEL32.dll'],
      cpu: 'x64',
    });
    expect(problemsOf(pe(entryPoints, imports), windows)).toEqual([]);
  });

  it('is refused with a library of a compiler, with a function that Node lacks, and with another export', () => {
    const problems = problemsOf(
      pe(
        [...entryPoints, 'DllMain'],
        [
          ['node.exe', ['napi_create_object', 'node_api_post_finalizer']],
          ['libc++.dll', ['_Znwm']],
        ],
      ),
      windows,
    );
    expect(problems).toEqual([
      'shows: DllMain',
      'needs the library: libc++.dll',
      'needs what Node-API 8 lacks: node_api_post_finalizer',
    ]);
    expect(() => readPe(Buffer.alloc(1024))).toThrow('not a PE file');
  });

  it('is refused with a path of the machine that built it, and where it is too large', () => {
    const bytes = pe(entryPoints, imports);
    const path = Buffer.from(`${root}/native/core/error.cc\0`);
    expect(problemsOf(Buffer.concat([bytes, path]), windows)).toEqual([
      expect.stringMatching(/^holds the path: /),
    ]);
    expect(problemsOf(Buffer.concat([bytes, Buffer.alloc(5_000_000)]), windows)).toEqual([
      expect.stringMatching(/^has 50\d+ bytes, of at most 5000000$/),
    ]);
  });
});

import { execFileSync, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { kernelTables } from '../../scripts/kernel-tables.mjs';
import { readSources } from '../../scripts/sources.mjs';
import { listFiles } from '../../scripts/stamp.mjs';

const checkout = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');
let scratch = '';

beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), 'kvasir-products-'));
});
afterEach(() => rmSync(scratch, { recursive: true, force: true }));

/** No setting of this machine may help. */
function cleanEnv(): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = { ...process.env, HOME: scratch };
  for (const name of Object.keys(env)) if (/^npm_config_nodedir$/i.test(name)) delete env[name];
  return env;
}

describe('native/sources.txt', () => {
  it('lists every compiled source once, and nothing else', () => {
    const compiled = readSources(checkout).filter(({ kind }) => kind !== 'border');
    const listed = compiled.map(({ path }) => `native/${path}`);
    const existing = listFiles(checkout, ['native']).filter((name: string) => /\.(cc|cu)$/.test(name));
    expect([...listed].sort()).toEqual(existing);
  });

  it('gives node-gyp what CMake compiles for the addon, every kernel table with the same flags', () => {
    const commands: { file: string; command: string }[] = JSON.parse(
      readFileSync(join(checkout, 'build/compile_commands.json'), 'utf8'),
    );
    const of = (path: string) =>
      commands.find(({ file }) => file === join(checkout, 'native', path))?.command;
    const gyp = readFileSync(join(checkout, 'native/binding.gyp'), 'utf8');
    const tables = readSources(checkout).filter(({ kind }) => kind.startsWith('isa:'));
    expect(tables.length).toBeGreaterThan(5);
    for (const { kind, path } of tables) {
      const name = kind.slice('isa:'.length);
      const target = new RegExp(`"target_name": "kvasir_${name}",[\\s\\S]*?\\n    \\}`).exec(gyp)?.[0];
      expect(target, name).toContain(`sources.mjs ${kind})`);
      const flags = target!.match(/"-m[^"]*"/g)?.map((flag) => flag.slice(1, -1)) ?? [];
      const command = of(path);
      expect(command !== undefined, name).toBe(kernelTables().includes(name));
      if (command) expect(command.match(/(?<= )-m\S+/g) ?? [], name).toEqual(flags);
    }
    const script = join(checkout, 'scripts/sources.mjs');
    const kinds = /sources\.mjs ([a-z ]+)\)"\],\n {6}"dependencies"/.exec(gyp)![1]!.split(' ');
    const printed = execFileSync(process.execPath, [script, ...kinds], { encoding: 'utf8' })
      .trim()
      .split('\n');
    expect(printed.length).toBeGreaterThan(20);
    expect(printed.filter((name) => of(name.replace('native/', '')) === undefined)).toEqual([]);
  });
});

describe('compiler flags', () => {
  const commands = () =>
    JSON.parse(readFileSync(join(checkout, 'build/compile_commands.json'), 'utf8')) as {
      file: string;
      command: string;
    }[];

  it('keep the arithmetic contract in every object', () => {
    expect(commands().length).toBeGreaterThan(0);
    for (const { file, command } of commands()) {
      expect(command, file).toContain('-ffp-contract=off');
      expect(command, file).not.toMatch(
        /-ffast-math|-Ofast|-march=|-funsafe-math|-ffinite-math|-fassociative-math/,
      );
    }
    expect(
      readFileSync(join(checkout, 'native/binding.gyp'), 'utf8').match(/"-ffp-contract=off"/g),
    ).toHaveLength(2);
  });

  it('give instruction sets to kernels only', () => {
    const kinds = new Map(readSources(checkout).map(({ kind, path }) => [`native/${path}`, kind]));
    for (const { file, command } of commands()) {
      const kind = kinds.get(file.slice(checkout.length + 1)) ?? '';
      const flags = command.match(/ -m(avx|fma|f16c|sse)[^ ]*/g) ?? [];
      // What the tables of AArch64 have beyond its baseline is assembly.
      const special = kind.startsWith('isa:') && kind !== 'isa:scalar' && !kind.startsWith('isa:neon');
      expect(flags.length > 0, `${file}: ${flags}`).toBe(special);
    }
  });

  // An inline function of a shared header, compiled here with AVX-512 and kept by the linker, is SIGILL elsewhere.
  it('leave no shared inline function in objects with special instruction sets', () => {
    const special = kernelTables().filter((table) => table !== 'scalar');
    const kernels = readSources(checkout).filter(({ kind }) => special.includes(kind.replace('isa:', '')));
    const objects = join(checkout, 'build/CMakeFiles/kvasir_core.dir/native');
    const built = kernels.map(({ path }) => join(objects, `${path}.o`)).filter((path) => existsSync(path));
    expect(built.length).toBe(kernels.length);
    for (const path of built) {
      const isa = /kernels_(\w+)\.cc\.o$/.exec(path)?.[1];
      // What lives in a namespace of its own instruction set cannot be mistaken for another's.
      const own = new RegExp(`^(?:[^(<]* )?kvasir::cpu::isa_${isa}::`);
      const symbols = execFileSync('nm', ['--defined-only', '-C', path], { encoding: 'utf8' }).split('\n');
      const shared = symbols
        .map((line) => /^\w+ [WVu] (.*)$/.exec(line)?.[1] ?? '')
        .filter((name) => name !== '');
      expect(
        shared.filter((name) => !own.test(name)),
        basename(path),
      ).toEqual([]);
    }
  });

  it('show Node the entry points and nothing else', () => {
    if (process.platform !== 'linux') return;
    for (const name of ['kvasir.node', 'kvasir_testing.node']) {
      const args = ['-D', '--defined-only', '--format=just-symbols', join(checkout, 'build/Release', name)];
      const symbols = execFileSync('nm', args, { encoding: 'utf8' }).trim().split('\n');
      expect(symbols.sort(), name).toEqual(['napi_register_module_v1', 'node_api_module_get_api_version_v1']);
    }
  });
});

describe('headers', () => {
  // Every socket and fetch of the process is refused: what would be downloaded fails loudly.
  const noNetwork = `data:text/javascript,${encodeURIComponent(`
    import net from 'node:net';
    const refuse = () => { throw new Error('NETWORK TOUCHED'); };
    net.Socket.prototype.connect = refuse;
    globalThis.fetch = refuse;
  `)}`;

  function configure(project: string) {
    const cmakeJs = join(checkout, 'node_modules/cmake-js/bin/cmake-js');
    const args = [
      '--import',
      noNetwork,
      cmakeJs,
      'configure',
      '--directory',
      project,
      '--out',
      join(scratch, 'build'),
    ];
    return spawnSync(process.execPath, args, { cwd: project, encoding: 'utf8', env: cleanEnv() });
  }

  it('come from an npm package: an empty HOME, no nodedir, no network', () => {
    const { status, stdout, stderr } = configure(checkout);
    expect(status, stdout + stderr).toBe(0);
    const cache = readFileSync(join(scratch, 'build/CMakeCache.txt'), 'utf8');
    const includes = /^CMAKE_JS_INC:[^=]*=(.*)$/m.exec(cache)?.[1]?.split(';') ?? [];
    const modules = join(checkout, 'node_modules');
    expect(includes).toEqual([join(modules, 'node-api-headers/include'), join(modules, 'node-addon-api')]);
    expect(readdirSync(scratch)).toEqual(['build']);
  });

  it('would be downloaded without binary.napi_versions (the proof above can fail)', () => {
    const project = join(scratch, 'project');
    mkdirSync(project);
    writeFileSync(join(project, 'package.json'), '{ "name": "no-node-api" }');
    writeFileSync(join(project, 'CMakeLists.txt'), 'cmake_minimum_required(VERSION 3.18)\nproject(x NONE)\n');
    const { status, stdout, stderr } = configure(project);
    expect(status).not.toBe(0);
    expect(stdout + stderr).toContain('NETWORK TOUCHED');
  });
});

describe('the loader', () => {
  it('takes the Release build, not a stale Debug build beside it', () => {
    const debug = join(checkout, 'build/Debug');
    const made = !existsSync(debug);
    mkdirSync(debug, { recursive: true });
    const stale = join(debug, 'kvasir.node');
    writeFileSync(stale, 'not an addon');
    try {
      const script = `import { native } from './dist/native.js'; console.log(native().cpu().cores > 0);`;
      const args = ['--input-type=module', '-e', script];
      expect(execFileSync(process.execPath, args, { cwd: checkout, encoding: 'utf8' })).toBe('true\n');
    } finally {
      rmSync(made ? debug : stale, { recursive: true });
    }
  });
});

describe('a second set-up', () => {
  it('does no work twice', () => {
    const products = ['build/Release/kvasir.node', 'build/Release/kvasir_testing.node', 'dist/index.js'];
    const times = () => products.map((name) => statSync(join(checkout, name)).mtimeMs);
    const before = times();
    for (const flags of [[], ['--testing']]) {
      const args = [join(checkout, 'scripts/setup.mjs'), ...flags];
      const { status, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
      expect(status, stderr).toBe(0);
      expect(stderr.match(/up to date$|CUDA library: none/gm)).toHaveLength(4);
    }
    expect(times()).toEqual(before);
  });
});

describe('npm start', () => {
  it('says that no model can be fetched and streams the embedded one in INT8, with its timings', () => {
    const env = { ...cleanEnv(), HF_HUB_OFFLINE: '1', HF_HOME: join(scratch, 'cache') };
    const args = [join(checkout, 'scripts/start.mjs')];
    const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', env });
    expect(status, stderr).toBe(0);
    expect(stderr).toMatch(/stories-260k, which comes with Kvasir, takes its place/);
    expect(stderr).toMatch(/time to first token.*\d ms[\s\S]*\d tokens\/s[\s\S]*memory.*\d MB[\s\S]*int8/);
    expect(stdout).toMatch(/\w+ \w+ \w+/);
  });
});

describe('the npm package', () => {
  it('holds what an installation needs to compile and run, and no tests', () => {
    const args = ['pack', '--dry-run', '--json', '--ignore-scripts'];
    const report = JSON.parse(
      execFileSync('npm', args, { cwd: checkout, encoding: 'utf8', env: cleanEnv() }),
    );
    const [{ files }] = Array.isArray(report) ? report : Object.values(report);
    const names = (files as { path: string }[]).map(({ path }) => path);
    const wanted = [
      'package.json',
      'LICENSE',
      'CMakeLists.txt',
      'native/binding.gyp',
      'dist/index.js',
      'dist/index.d.ts',
      'dist/compare/memory-probe.js',
      'dist/web/main.js',
      'web/index.html',
      'texts/frankenstein.txt',
    ];
    expect(names).toEqual(expect.arrayContaining([...wanted, 'native/sources.txt', 'scripts/setup.mjs']));
    for (const { kind, path } of readSources(checkout)) {
      const shipped = ![
        'testing',
        'tests',
        'serial_tests',
        'cuda_tests',
        'emulation_tests',
        'evex_tests',
        'sm75_tests',
        'measure',
        'portable',
      ].includes(kind);
      expect(names.includes(`native/${path}`), path).toBe(shipped);
    }
    expect(names.filter((name) => /^(test|docs|\.ci|build|node_modules)\//.test(name))).toEqual([]);
    // npm would take it for an install script.
    expect(names).not.toContain('binding.gyp');
    for (const script of names.filter((name) => /^scripts\/.*\.mjs$/.test(name))) {
      const text = readFileSync(join(checkout, script), 'utf8');
      for (const [, name] of text.matchAll(/from '\.\/([^']+)'/g)) expect(names).toContain(`scripts/${name}`);
    }
  }, 120_000);

  it('resolves by its own name in the checkout, through import and require', () => {
    const print = 'console.log(Object.keys(k).includes("Model"))';
    const viaImport = `import * as k from 'kvasir'; ${print}`;
    const options = { cwd: checkout, encoding: 'utf8' as const };
    expect(execFileSync(process.execPath, ['--input-type=module', '-e', viaImport], options)).toBe('true\n');
    const [major, minor] = process.versions.node.split('.').map(Number) as [number, number];
    if (major > 22 || (major === 22 && minor >= 12) || (major === 20 && minor >= 19)) {
      const viaRequire = `const k = require('kvasir'); ${print}`;
      const run = spawnSync(process.execPath, ['--input-type=commonjs', '-e', viaRequire], options);
      expect(run.stdout, run.stderr).toBe('true\n');
    }
  });
});

import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { checkLayers } from '../../scripts/check-layers.mjs';
import { functionsOf } from '../../scripts/check-sizes.mjs';
import { buildFraction } from '../../scripts/progress.mjs';
import { staleDependencies } from '../../scripts/setup.mjs';
import { hashInputs, listFiles, Stamp } from '../../scripts/stamp.mjs';
import { cudaFor, judge, parseArguments, parseCounts, skipsOf } from '../../scripts/test.mjs';
import { chooseBuilder } from '../../scripts/toolchain.mjs';

const checkout = fileURLToPath(new URL('../..', import.meta.url));
let root = '';

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'kvasir-build-'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function put(name: string, text: string): string {
  const path = join(root, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
  return path;
}

function putProgram(name: string): void {
  chmodSync(put(`bin/${name}`, '#!/bin/sh\n'), 0o755);
}

describe('layer check', () => {
  const cases: [what: string, file: string, text: string, message: RegExp][] = [
    ['N-API below the addon', 'native/runtime/a.cc', '#include <napi.h>', /N-API header/],
    ['CUDA outside its room', 'native/backend/cpu/a.cc', '#include <cuda_runtime.h>', /CUDA header/],
    [
      'the emulation outside the CUDA room',
      'native/model/a.cc',
      '#include "cuda_emulation.h"',
      /CUDA header/,
    ],
    ['intrinsics outside kernels', 'native/core/a.cc', '#include <immintrin.h>', /intrinsics header/],
    [
      'ARM intrinsics in a backend',
      'native/backend/cpu/cpu_backend.cc',
      '#include <arm_neon.h>',
      /intrinsics/,
    ],
    ['core looking up', 'native/core/a.h', '#include "quant/b.h"', /core may not include/],
    ['quant looking up', 'native/quant/a.h', '#include "backend/backend.h"', /quant may not include/],
    ['io knowing the model', 'native/io/a.h', '#include "model/b.h"', /io may not include/],
    [
      'the model knowing a backend',
      'native/model/a.cc',
      '#include "backend/cpu/b.h"',
      /model may not include/,
    ],
    ['a backend knowing the model', 'native/backend/cpu/a.cc', '#include "model/b.h"', /cpu may not include/],
    [
      'the runtime knowing the addon',
      'native/runtime/a.cc',
      '#include "addon/b.h"',
      /runtime may not include/,
    ],
    ['an include without a room', 'native/core/a.cc', '#include "error.h"', /must name its room/],
    ['an unknown room', 'native/misc/a.cc', 'int x;', /room the design does not know/],
    ['exit', 'native/core/a.cc', 'void F() { std::exit(1); }', /exit\(\) may end the process/],
    ['abort', 'native/io/a.cc', 'void F() { abort(); }', /abort\(\) may end the process/],
    ['assert', 'native/model/a.cc', 'void F(int x) { assert(x > 0); }', /assert\(\) may end the process/],
    ['a second loader', 'lib/engine/a.ts', "import bindings from 'bindings';", /only lib\/native\.ts/],
    [
      'a hidden loader',
      'lib/a.ts',
      "const addon = require('../build/Release/kvasir.node');",
      /only lib\/native/,
    ],
    ['a test that no project runs', 'test/a.test.ts', 'it();', /no vitest project/],
    ['a file without end', 'native/core/a.cc', 'int x;\n'.repeat(401), /400 is the end/],
    ['a function without end', 'native/core/a.cc', `int F(int a) {\n${'a;\n'.repeat(59)}}\n`, /61 lines/],
  ];

  it('catches what looks up within lib/', () => {
    put('package.json', '{ "type": "module" }');
    put('lib/errors.ts', "export * from './native.js';");
    put('lib/native.ts', "import './errors.js';\nexport * from './kvasir.node';");
    put('lib/index.ts', "export * from './engine/a.js';");
    put('lib/engine/a.ts', "export type { B } from '../tokenizer/b.js';");
    put('lib/tokenizer/b.ts', 'export interface B { id: number }');
    put('lib/tokenizer/worker.ts', "import '../cli/main.js';");
    put('lib/cli/main.ts', "import '../architectures/c.js';\nimport './nowhere.js';");
    put('lib/architectures/c.ts', "export * from '../index.js';");
    put('lib/compare/d.ts', "import '../tokenizer/worker.js';\nawait import('../kvasir.node');");
    put('lib/kvasir.node', '');
    const cruise = join(checkout, 'node_modules/dependency-cruiser/bin/dependency-cruise.mjs');
    const config = join(checkout, '.dependency-cruiser.mjs');
    const { stdout } = spawnSync(
      process.execPath,
      [cruise, '--config', config, '--output-type', 'json', 'lib'],
      { cwd: root, encoding: 'utf8' },
    );
    const found: { from: string; rule: { name: string } }[] = JSON.parse(stdout).summary.violations;
    const named = found.map(({ from, rule }) => `${from} ${rule.name}`);
    for (const expected of [
      'lib/errors.ts errors-looks-down',
      'lib/engine/a.ts engine-looks-down',
      'lib/tokenizer/worker.ts command-line-on-top',
      'lib/tokenizer/worker.ts tokenizer-looks-down',
      'lib/cli/main.ts commands-use-the-library',
      'lib/cli/main.ts everything-resolves',
      'lib/architectures/c.ts public-api-on-top',
      'lib/compare/d.ts compare-compares-models',
      'lib/compare/d.ts tokenizer-threads-are-private',
      'lib/compare/d.ts one-loader',
    ]) {
      expect(named).toContain(expected);
    }
    expect(found.some(({ rule }) => rule.name === 'no-cycles')).toBe(true);
    expect(named).not.toContain('lib/native.ts one-loader');
  });

  it('measures functions, not what only looks like one', () => {
    const source = `namespace a {
class B {
  int C() const { return 1; }
};
const int table[] = {
    1,
};
// {
const char* D(const char* text) {
  if (text == "}") {
    return "{";
  }
  return R"({{)";
}

template <typename T>
T E(
    T value) {
  const auto f = [&] { return value; };
  return f();
}
}  // namespace a
`;
    expect(functionsOf(source)).toEqual([
      { line: 3, lines: 1 },
      { line: 9, lines: 6 },
      { line: 16, lines: 6 },
    ]);
  });

  it.each(cases)('catches %s', (_what, file, text, message) => {
    put('native/core/error.h', '#pragma once\n');
    expect(checkLayers(root)).toEqual([]);
    put(file, text);
    const found = checkLayers(root);
    expect(found).toHaveLength(1);
    expect(found[0]).toMatch(message);
    expect(found[0]).toMatch(new RegExp(`^${file}:\\d+: `));
  });

  it('lets through what the design allows', () => {
    put('native/addon/a.cc', '#include <napi.h>\n#include "runtime/engine.h"\n#include "core/error.h"\n');
    put('native/testing/main.cc', '#include "backend/cpu/kernels.h"\nint main() { std::exit(0); }\n');
    put('native/backend/cpu/kernels_avx2.cc', '#include <immintrin.h>\n#include "backend/cpu/kernels.h"\n');
    put('native/backend/cpu/simd_avx2.h', '#include <immintrin.h>\n');
    put('native/backend/cuda/cuda_platform.h', '#include "cuda_emulation.h"\n#include <cuda_runtime.h>\n');
    put('native/model/a.cc', '#include "backend/backend.h"\n#include "io/container.h"\n');
    put(
      'native/core/a.cc',
      '// exit(1)\nstatic_assert(1 == 1);\nauto* s = "abort()"; void F(X x) { x.abort(); }\n',
    );
    put('lib/native.ts', "import bindings from 'bindings';\n");
    expect(checkLayers(root)).toEqual([]);
  });

  it('does not pass on nothing', () => {
    expect(checkLayers(root)).toEqual(['native: nothing to check']);
  });
});

describe('stamps', () => {
  it('follow content, names and facts, not times', () => {
    const path = put('native/a.cc', 'int a;');
    const hash = () => hashInputs(root, listFiles(root, ['native']), { node: 20 });
    const first = hash();
    utimesSync(path, 1, 1);
    expect(hash()).toBe(first);
    put('native/a.cc', 'int b;');
    expect(hash()).not.toBe(first);
    put('native/a.cc', 'int a;');
    put('native/b.cc', '');
    expect(hash()).not.toBe(first);
    rmSync(join(root, 'native/b.cc'));
    expect(hash()).toBe(first);
    expect(hashInputs(root, listFiles(root, ['native']), { node: 22 })).not.toBe(first);
  });

  it('are void when the product is missing, replaced, or its making was cut off', () => {
    put('build/product', 'one');
    const stamp = new Stamp(root, 'x', ['build/product']);
    expect(stamp.isCurrent('hash')).toBe(false);
    stamp.write('hash');
    expect(stamp.isCurrent('hash')).toBe(true);
    expect(stamp.isCurrent('other')).toBe(false);
    put('build/product', 'another');
    expect(stamp.isCurrent('hash')).toBe(false);
    stamp.write('hash');
    rmSync(join(root, 'build/product'));
    expect(stamp.isCurrent('hash')).toBe(false);
    put('build/product', 'one');
    stamp.write('hash');
    stamp.clear();
    expect(stamp.isCurrent('hash')).toBe(false);
  });

  it('know when node_modules is not what the lock file says', () => {
    const lock = (version: string) =>
      JSON.stringify({
        packages: { 'node_modules/a': { version }, 'node_modules/b': { version: '1', optional: true } },
      });
    put('package-lock.json', lock('1.0.0'));
    expect(staleDependencies(root)).toBe('not installed');
    put(
      'node_modules/.package-lock.json',
      JSON.stringify({ packages: { 'node_modules/a': { version: '1.0.0' } } }),
    );
    expect(staleDependencies(root)).toMatch(/a is missing/);
    put('node_modules/a/package.json', '{}');
    expect(staleDependencies(root)).toBeUndefined();
    put('package-lock.json', lock('1.0.1'));
    expect(staleDependencies(root)).toMatch(/not at 1\.0\.1/);
  });
});

describe('choice of the builder', () => {
  const choose = () =>
    chooseBuilder(root, { PATH: join(root, 'bin') }, join(root, 'prefix/bin/node')) as { builder: string };

  it('names every missing Debian package at once', () => {
    expect(choose).toThrow(/sudo apt-get install -y g\+\+ cmake ninja-build$/m);
    putProgram('g++');
    expect(choose).toThrow(/sudo apt-get install -y cmake ninja-build$/m);
    putProgram('make');
    expect(choose).toThrow(
      /there is no cmake; the fallback, node-gyp, .* without node-gyp, the headers .*, python3/,
    );
    expect(choose).toThrow(/sudo apt-get install -y cmake$/m);
    putProgram('cmake');
    expect(choose()).toMatchObject({ builder: 'cmake' });
    rmSync(join(root, 'bin/g++'));
    expect(choose).toThrow(/no C\+\+ compiler.*\n.*install -y g\+\+$/m);
  });

  it('falls back to node-gyp with the headers beside the running Node', () => {
    for (const name of ['g++', 'make', 'python3']) putProgram(name);
    put('prefix/include/node/node_api.h', '');
    const nodeGyp = put('node_modules/node-gyp/bin/node-gyp.js', '');
    expect(choose()).toEqual({ builder: 'gyp', nodeGyp, nodedir: join(root, 'prefix') });
  });
});

describe('test runner', () => {
  it('reads the last line of counts', () => {
    expect(parseCounts('1 passed, 0 failed\nnoise\n7 passed, 2 failed, 1 skipped\n')).toEqual({
      passed: 7,
      failed: 2,
      skipped: 1,
    });
    expect(parseCounts('said: 7 passed, 2 failed')).toBeUndefined();
  });

  it('takes a crash and an empty run for failures', () => {
    const counts = { passed: 3, failed: 0, skipped: 0 };
    expect(judge({ status: 0, counts })).toEqual(counts);
    expect(judge({ status: 139, counts }).failed).toBe(1);
    expect(judge({ status: 0, counts: undefined }).failed).toBe(1);
    expect(judge({ status: 0, counts: { passed: 0, failed: 0, skipped: 4 } }).failed).toBe(1);
  });

  it('tells what native tests left out, and counts what a machine could have', () => {
    const output = [
      'skipped in a: one core',
      "skipped in b: this CPU cannot run the kernels 'amx'",
      "skipped in c: this CPU cannot run the kernels 'amx'",
      '3 passed, 0 failed',
    ].join('\n');
    expect(skipsOf(output)).toEqual({
      reasons: ['one core', "this CPU cannot run the kernels 'amx'"],
      count: 1,
    });
    expect(skipsOf('3 passed, 0 failed')).toEqual({ reasons: [], count: 0 });
  });

  it('compiles CUDA for one architecture, for all nightly, and otherwise as it is told', () => {
    const machine = { nightly: false, gpu: false, nvcc: true };
    expect(cudaFor({}, machine)).toEqual({ KVASIR_CUDA_ARCHS: '90' });
    expect(cudaFor({}, { ...machine, nvcc: false })).toEqual({});
    expect(cudaFor({}, { ...machine, gpu: true })).toEqual({});
    expect(cudaFor({}, { ...machine, nightly: true })).toEqual({ KVASIR_CUDA: 'on' });
    expect(cudaFor({ KVASIR_CUDA: 'off' }, machine)).toEqual({});
    expect(cudaFor({ KVASIR_CUDA_ARCHS: '86' }, { ...machine, nightly: true })).toEqual({});
  });

  it('understands its filters', () => {
    expect(parseArguments([])).toEqual({ only: undefined, filters: [] });
    expect(parseArguments(['--only', 'asan,tsan'])).toEqual({ only: ['asan', 'tsan'], filters: [] });
    expect(parseArguments(['--only=vitest', 'test/a'])).toEqual({ only: ['vitest'], filters: ['test/a'] });
    expect(parseArguments(['test/a', '-t', 'x'])).toEqual({
      only: ['vitest'],
      filters: ['test/a', '-t', 'x'],
    });
    expect(() => parseArguments(['--only'])).toThrow(/names of stages/);
  });

  it('reads the progress of ninja and make', () => {
    expect(buildFraction('[3/12] Building CXX object')).toBe(0.25);
    expect(buildFraction('[ 50%] Building CXX object')).toBe(0.5);
    expect(buildFraction('plain text')).toBeUndefined();
  });
});

describe('Ctrl-C', () => {
  it('ends the set-up and its child with status 130', async () => {
    const script = `
      import { run, runMain } from '${join(checkout, 'scripts/command.mjs')}';
      await runMain(async () => {
        await run(process.execPath, ['-e', 'console.log(process.pid); setInterval(() => {}, 1000)'],
          { onLine: (pid) => console.log(pid) });
        return 0;
      });`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const pid = await new Promise<number>((resolve) =>
      child.stdout.once('data', (data) => resolve(Number(data))),
    );
    const status = new Promise((resolve) => child.on('close', resolve));
    child.kill('SIGINT');
    expect(await status).toBe(130);
    expect(() => process.kill(pid, 0)).toThrow(/ESRCH/);
  });
});

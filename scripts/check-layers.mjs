// Checks the house (docs/architecture.md): which room may include which, who may touch N-API, CUDA, intrinsics and the
// addon, which calls native code may not make, and how long files and functions may be.
// The layers of lib/ are dependency-cruiser's (.dependency-cruiser.mjs). Node built-ins only.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { checkSizes } from './check-sizes.mjs';
import { isMain, runMain } from './command.mjs';
import { projectRoot } from './setup.mjs';
import { stripComments } from './source-text.mjs';
import { listFiles } from './stamp.mjs';

/** What vitest.config.ts runs: a test elsewhere would never run. */
const placeOfTests = /^test\/(unit|model|native|cli|product|measured)\/.*\.test\.ts$/;

/** Room of native/ -> rooms it may include. A room with a backend of its own is one of the two below backend/. */
const nativeRooms = {
  core: ['core'],
  quant: ['quant', 'core'],
  backend: ['backend', 'quant', 'core'],
  'backend/cpu': ['backend/cpu', 'backend', 'quant', 'core'],
  'backend/cuda': ['backend/cuda', 'backend', 'quant', 'core'],
  io: ['io', 'core'],
  grammar: ['grammar', 'core'],
  model: ['model', 'io', 'backend', 'quant', 'core'],
  runtime: ['runtime', 'model', 'io', 'backend', 'quant', 'core'],
  vectors: ['vectors', 'backend/cpu', 'quant', 'core'],
  addon: ['addon', 'grammar', 'vectors', 'runtime', 'model', 'io', 'backend', 'quant', 'core'],
};

/** Headers that only some files may include. */
const guardedHeaders = [
  {
    what: 'N-API',
    header: /^(napi|node_api|js_native_api|node|v8|uv)\.h$/,
    allowed: /^native\/(addon|testing)\//,
  },
  {
    what: 'CUDA',
    header: /^(cuda|cublas|cooperative_groups|nv|mma\.h)/,
    allowed: /^native\/(backend\/cuda\/|testing\/cuda_)/,
  },
  {
    what: 'intrinsics',
    header: /^((imm|x86|[xepstnw]mm|avx\w*|zmm)intrin|arm_(neon|sve|acle))\.h$/,
    allowed: /^native\/backend\/cpu\/(kernels_\w+\.cc|simd_\w+\.h)$/,
  },
];

/** Headers without a room: those of N-API, and the emulation of CUDA, which lies with the tests. */
const roomless = /^(napi|node_api|cuda_emulation)\.h$/;

const forbiddenCall = /(?<![.\w>])(?:std::)?(_?exit|_Exit|quick_exit|abort|terminate|assert)\s*\(/;
const addonLoad = /from\s+'bindings'|(?:require|import)\s*\(\s*'bindings'|process\.dlopen|\.node['"`]/;

function nativeRoom(path) {
  const [first, second, third] = path.split('/');
  return first === 'backend' && third !== undefined ? `${first}/${second}` : first;
}

function* checkInclude(name, header) {
  for (const { what, header: guarded, allowed } of guardedHeaders) {
    if (guarded.test(header) && !allowed.test(name)) yield `${what} header <${header}> is not for this file`;
  }
}

function* checkNative(name, text) {
  const room = nativeRoom(name.replace(/^native\//, ''));
  const rooms = room === 'testing' ? undefined : nativeRooms[room];
  if (room !== 'testing' && rooms === undefined)
    yield [1, `native/${room} is a room the design does not know`];
  const calls = stripComments(text, true).split('\n');
  for (const [index, line] of stripComments(text, false).split('\n').entries()) {
    const [, mark, header] = /^\s*#\s*include\s*([<"])([^>"]+)[>"]/.exec(line) ?? [];
    if (header !== undefined) {
      for (const message of checkInclude(name, header)) yield [index + 1, message];
      if (mark === '"' && !header.includes('/') && !roomless.test(header)) {
        yield [index + 1, `"${header}" must name its room, such as "core/${header}"`];
      } else if (mark === '"' && rooms && header.includes('/') && !rooms.includes(nativeRoom(header))) {
        yield [index + 1, `${room} may not include "${header}" (allowed: ${rooms.join(', ')})`];
      }
    }
    const call = forbiddenCall.exec(calls[index])?.[1];
    if (room !== 'testing' && call) yield [index + 1, `${call}() may end the process: throw kvasir::Error`];
  }
}

function* checkTypeScript(name, text) {
  if (name === 'lib/native.ts') return;
  for (const [index, line] of stripComments(text, false).split('\n').entries()) {
    if (addonLoad.test(line)) yield [index + 1, 'only lib/native.ts loads the addon'];
  }
}

/** @returns {string[]} one `file:line: message` for each violation */
export function checkLayers(root) {
  const violations = [];
  const skip = (name) => name.startsWith('test/fixtures');
  const files = listFiles(root, ['native', 'lib', 'scripts', 'test'], skip);
  for (const name of files.filter((file) => /\.(cc|h|cu|cuh|ts|mjs|py)$/.test(file))) {
    const text = readFileSync(join(root, name), 'utf8');
    const found = [];
    if (/^native\/.*\.(cc|h|cu|cuh)$/.test(name)) found.push(...checkNative(name, text));
    if (/^lib\/.*\.ts$/.test(name)) found.push(...checkTypeScript(name, text));
    if (name.endsWith('.test.ts') && !placeOfTests.test(name))
      found.push([1, 'no vitest project has this test']);
    found.push(...checkSizes(name, text));
    violations.push(...found.map(([line, message]) => `${name}:${line}: ${message}`));
  }
  if (!existsSync(join(root, 'native')) || files.length === 0) violations.push('native: nothing to check');
  return violations;
}

async function main() {
  const violations = checkLayers(projectRoot);
  for (const violation of violations) process.stdout.write(`${violation}\n`);
  return violations.length > 0 ? 1 : 0;
}

if (isMain(import.meta.url)) await runMain(main);

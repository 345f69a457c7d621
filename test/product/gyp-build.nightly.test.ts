/**
 * The fallback, node-gyp, in a folder of its own: each kernel table comes out of it instruction for instruction as out of
 * CMake, and the addon generates.
 */
import { execFileSync } from 'node:child_process';
import { copyFileSync, cpSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { kernelTables } from '../../scripts/kernel-tables.mjs';
import { findNodeGyp, findNodeHeaders } from '../../scripts/toolchain.mjs';

const checkout = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');
const folder = mkdtempSync(join(tmpdir(), 'kvasir-gyp-'));
const nodedir = findNodeHeaders();

beforeAll(() => {
  if (!nodedir) return;
  const shipped: string[] = JSON.parse(readFileSync(join(checkout, 'package.json'), 'utf8')).files;
  const wanted = shipped.filter((name) => !name.startsWith('!') && !/^(models|texts)$/.test(name));
  for (const name of ['package.json', ...wanted]) {
    cpSync(join(checkout, name), join(folder, name), { recursive: true });
  }
  rmSync(join(folder, 'native/testing'), { recursive: true });
  symlinkSync(join(checkout, 'node_modules'), join(folder, 'node_modules'));
  symlinkSync(join(checkout, 'models'), join(folder, 'models'));
  copyFileSync(join(folder, 'native/binding.gyp'), join(folder, 'binding.gyp'));
  const gyp = [findNodeGyp(checkout)!, '--directory', folder, `--nodedir=${nodedir}`];
  execFileSync(process.execPath, [...gyp, 'configure'], { stdio: 'pipe' });
  execFileSync(process.execPath, [...gyp, 'build', '--jobs=2'], { stdio: 'pipe' });
}, 1_800_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Instructions by function, without where they lie. */
function functionsOf(object: string): Map<string, string[]> {
  const listing = execFileSync('objdump', ['-d', '--no-show-raw-insn', object], {
    encoding: 'utf8',
    maxBuffer: 2 ** 30,
  });
  const functions = new Map<string, string[]>();
  let body: string[] = [];
  for (const line of listing.split('\n')) {
    const name = /^[0-9a-f]+ <(.*)>:$/.exec(line)?.[1];
    const instruction = /^ *[0-9a-f]+:\t(.*?) *(?:#.*)?$/.exec(line)?.[1];
    if (name) {
      body = [];
      functions.set(name, body);
    } else if (instruction) body.push(instruction.replace(/\b[0-9a-f]+ </, '<'));
  }
  return functions;
}

const without = nodedir ? '' : ' [skipped: no headers of this Node]';

it.skipIf(!nodedir).each(kernelTables())(`the table %s is the one that CMake builds${without}`, (name) => {
  const source = `native/backend/cpu/kernels_${name}`;
  const ofCmake = join(checkout, `build/CMakeFiles/kvasir_core.dir/${source}.cc.o`);
  const ofGyp = join(folder, `build/Release/obj.target/kvasir_${name}/${source}.o`);
  expect(existsSync(ofCmake) && existsSync(ofGyp)).toBe(true);
  const functions = functionsOf(ofGyp);
  expect(functions.size).toBeGreaterThan(20);
  expect(functions).toEqual(functionsOf(ofCmake));
});

it.skipIf(!nodedir)(`the addon generates what the other one does${without}`, () => {
  const generate = (root: string) => {
    const args = [
      'run',
      'stories-260k',
      'Once upon a time',
      '--max-tokens',
      '16',
      '--temperature',
      '0',
      '--json',
    ];
    const text = execFileSync(process.execPath, [join(root, 'dist/cli/main.js'), ...args], {
      encoding: 'utf8',
    });
    return (JSON.parse(text) as { text: string }).text;
  };
  expect(generate(folder).length).toBeGreaterThan(20);
  expect(generate(folder)).toBe(generate(checkout));
});

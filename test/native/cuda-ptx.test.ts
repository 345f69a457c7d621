/**
 * What nvcc makes of each wrapper of native/backend/cuda/ptx.cuh: opcode, operand types and the order of the operands,
 * each followed to the memory that it comes from. These are what the emulated twins assume.
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { canRun, projectRoot } from './cuda-outside.js';

const hasNvcc = canRun('nvcc');

/** Lines of each kernel in the PTX of the fixture for an architecture. */
function compile(arch: number): Map<string, string[]> {
  const { stdout, stderr, status } = spawnSync(
    'nvcc',
    [
      ...['-ptx', '-std=c++20', '-O3', '-fmad=false', `-arch=compute_${arch}`],
      ...[`-I${join(projectRoot, 'native')}`, join(projectRoot, 'test/fixtures/cuda-wrappers.cu'), '-o', '-'],
    ],
    { encoding: 'utf8' },
  );
  expect(stderr).toBe('');
  expect(status).toBe(0);
  const kernels = new Map<string, string[]>();
  for (const [, name, body] of stdout.matchAll(/\.entry (\w+)\([^)]*\)[^{]*\{\n([\s\S]*?)\n\}\n/g)) {
    const lines = body!.split('\n').map((line) =>
      line
        .replace(/\/\/.*/, '')
        .replace(/\s+/g, ' ')
        .trim(),
    );
    kernels.set(name!, lines.filter(Boolean));
  }
  return kernels;
}

/** Where each register comes from: `in+12` for the word at byte 12 of the first parameter, `16`, or an operation. */
function origins(kernel: string[]): Map<string, string> {
  const from = new Map<string, string>();
  const of = (register: string) => from.get(register) ?? register;
  for (const line of kernel) {
    const parameter = /^ld\.param\.\w+ (%\w+), \[\w+_param_(\d)\]/.exec(line);
    const copied = /^(?:mov\.\w+|cvta\.to\.global\.u64|cvta\.global\.u64) (%\w+), (%?\w+);/.exec(line);
    const loaded = /^ld\.global(?:\.\w+)* (%\w+), \[(%\w+)(?:\+(\d+))?\]/.exec(line);
    const added = /^add\.\w+ (%\w+), (%\w+), (\d+);/.exec(line);
    const compared = /^setp\.(eq|ne)\.\w+ (%\w+), (%\w+), 0;/.exec(line);
    const chosen = /^selp\.\w+ (%\w+), (\d+), (\d+), (%\w+);/.exec(line);
    if (parameter) from.set(parameter[1]!, ['in', 'out', 'valid'][Number(parameter[2])]!);
    else if (copied) from.set(copied[1]!, of(copied[2]!));
    else if (loaded) from.set(loaded[1]!, `*${of(loaded[2]!)}+${loaded[3] ?? 0}`);
    else if (added) from.set(added[1]!, `${of(added[2]!)}+${added[3]}`);
    else if (compared) from.set(compared[2]!, `${of(compared[3]!)} ${compared[1]}`);
    else if (chosen) {
      const [, to, yes, no, predicate] = chosen;
      const [what, relation] = of(predicate!).split(' ');
      from.set(to!, relation === 'ne' ? `${what} ? ${yes} : ${no}` : `${what} ? ${no} : ${yes}`);
    }
  }
  return from;
}

interface Mma {
  opcode: string;
  /** d, a, b and c as registers. */
  operands: string[][];
}

function multiplications(kernel: string[]): Mma[] {
  return kernel.flatMap((line) => {
    const found = /^(mma\.\S+) (.*);/.exec(line);
    if (!found) return [];
    const operands = [...found[2]!.matchAll(/\{([^}]*)\}/g)].map(([, list]) =>
      list!.split(',').map((r) => r.trim()),
    );
    return [{ opcode: found[1]!, operands }];
  });
}

/** Words of the input, by index. */
const words = (first: number, count: number) =>
  Array.from({ length: count }, (_, i) => `*in+${4 * (first + i)}`);

function checkSums(kernel: string[], sums: string[]) {
  const stores = kernel.flatMap((line) => {
    const found = /^st\.global(?:\.\w+)* \[%\w+(?:\+(\d+))?\], (%\w+);/.exec(line);
    return found ? [[Number(found[1] ?? 0), found[2]!] as const] : [];
  });
  const from = origins(kernel);
  const stored = stores.sort(([a], [b]) => a - b).map(([, register]) => from.get(register) ?? register);
  expect(stored).toEqual(sums.map((register) => from.get(register) ?? register));
}

describe.skipIf(!hasNvcc)(`PTX of the wrappers${hasNvcc ? '' : ' (no nvcc)'}`, () => {
  let ptx: Map<string, string[]>;
  beforeAll(() => {
    ptx = compile(80);
  }, 60_000);

  it.each([
    ['MmaS8', 's8'],
    ['MmaU8S8', 'u8'],
  ])('%s is m16n8k32 with A, B and the sums in this order', (name, type) => {
    const kernel = ptx.get(name)!;
    const [mma, ...others] = multiplications(kernel);
    expect(others).toEqual([]);
    expect(mma!.opcode).toBe(`mma.sync.aligned.m16n8k32.row.col.s32.${type}.s8.s32`);
    const from = origins(kernel);
    const [d, a, b, c] = mma!.operands;
    expect(a!.map((register) => from.get(register))).toEqual(words(0, 4));
    expect(b!.map((register) => from.get(register))).toEqual(words(4, 2));
    expect(c!.map((register) => from.get(register))).toEqual(words(6, 4));
    checkSums(kernel, d!);
  });

  it.each([
    ['MmaS8Small', 's8'],
    ['MmaU8S8Small', 'u8'],
  ])('%s is m8n8k16 with A, B and the sums in this order', (name, type) => {
    const kernel = ptx.get(name)!;
    const [mma, ...others] = multiplications(kernel);
    expect(others).toEqual([]);
    expect(mma!.opcode).toBe(`mma.sync.aligned.m8n8k16.row.col.s32.${type}.s8.s32`);
    const from = origins(kernel);
    const [d, a, b, c] = mma!.operands;
    expect(a!.map((register) => from.get(register))).toEqual(words(0, 1));
    expect(b!.map((register) => from.get(register))).toEqual(words(4, 1));
    expect(c!.map((register) => from.get(register))).toEqual(words(6, 2));
    checkSums(kernel, d!);
  });

  it('CopyAsync16 is a 16-byte cp.async past L1, in groups', () => {
    const kernel = ptx.get('CopyAsync')!;
    const from = origins(kernel);
    const asynchronous = kernel.filter((line) => line.startsWith('cp.async'));
    const [plain, first, orZero, second, waitOne, waitAll] = asynchronous;
    expect(asynchronous).toHaveLength(6);
    const source = /^cp\.async\.cg\.shared\.global \[%r\w+\], \[(%rd\w+)\], 16;$/.exec(plain!)!;
    expect(from.get(source[1]!)).toBe('in+48');
    const [, secondSource, size] =
      /^cp\.async\.cg\.shared\.global \[%r\w+\], \[(%rd\w+)\], 16, (%r\w+);$/.exec(orZero!)!;
    expect(from.get(secondSource!)).toBe('in+80');
    expect(from.get(size!)).toBe('valid ? 16 : 0');
    expect([first, second]).toEqual(['cp.async.commit_group;', 'cp.async.commit_group;']);
    expect([waitOne, waitAll]).toEqual(['cp.async.wait_group 1;', 'cp.async.wait_group 0;']);
    // No read of what was copied before its wait.
    const loads = kernel.flatMap((line, i) => (line.startsWith('ld.shared') ? [i] : []));
    expect(Math.min(...loads)).toBeGreaterThan(kernel.indexOf(waitOne!));
    expect(Math.max(...loads)).toBeGreaterThan(kernel.indexOf(waitAll!));
  });

  it('HalfToFloat converts a half that lies in 16 bits', () => {
    const kernel = ptx.get('HalfToFloat')!;
    const converted = kernel.filter((line) => line.startsWith('cvt.')).join('\n');
    const [, register] = /^cvt\.f32\.f16 %\w+, (%rs\w+);$/.exec(converted)!;
    expect(origins(kernel).get(register!)).toBe('*in+6');
  });

  it('HalfFromFloat rounds to the nearest, into 16 bits', () => {
    const kernel = ptx.get('HalfFromFloat')!;
    const converted = kernel.filter((line) => line.startsWith('cvt.r')).join('\n');
    const [, half, register] = /^cvt\.rn\.f16\.f32 (%rs\w+), (%\w+);$/.exec(converted)!;
    expect(origins(kernel).get(register!)).toBe('*in+12');
    expect(kernel).toContainEqual(expect.stringMatching(`^st\\.global\\.[bu]16 \\[%rd\\w+\\], ${half};$`));
  });
});

describe.skipIf(!hasNvcc)(`PTX of the wrappers for sm_75${hasNvcc ? '' : ' (no nvcc)'}`, () => {
  let ptx: Map<string, string[]>;
  beforeAll(() => {
    ptx = compile(75);
  }, 60_000);

  it.each([
    ['MmaS8', 's8'],
    ['MmaU8S8', 'u8'],
  ])('%s is four m8n8k16, a row half of A and a k half of both at a time', (name, type) => {
    const kernel = ptx.get(name)!;
    const from = origins(kernel);
    const parts = multiplications(kernel);
    expect(new Set(parts.map(({ opcode }) => opcode))).toEqual(
      new Set([`mma.sync.aligned.m8n8k16.row.col.s32.${type}.s8.s32`]),
    );
    const pairs = parts.map(({ operands: [, a, b] }) => `${from.get(a![0]!)} ${from.get(b![0]!)}`);
    expect(pairs.sort()).toEqual(['*in+0 *in+16', '*in+12 *in+20', '*in+4 *in+16', '*in+8 *in+20']);
    const upper = parts.filter(({ operands: [, a] }) => ['*in+0', '*in+8'].includes(from.get(a![0]!)!));
    expect(
      upper.map(({ operands: [, , , c] }) => c!.map((register) => from.get(register) ?? register))[0],
    ).toEqual(words(6, 2));
  });

  it('copies at once', () => {
    expect(ptx.get('CopyAsync')!.filter((line) => line.startsWith('cp.async'))).toEqual([]);
    expect(ptx.get('CopyAsync')!.some((line) => line.startsWith('st.shared.v4'))).toBe(true);
  });
});

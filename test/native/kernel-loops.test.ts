/**
 * The innermost loops of the kernels as the compiler left them, read in the disassembly: as many multiplications as the
 * tile has, and no vector that waits on the stack.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';

const nativeTests = fileURLToPath(new URL('../../build/Release/native_tests', import.meta.url));
const hasObjdump = spawnSync('objdump', ['--version']).status === 0;
const readable = hasObjdump && process.arch === 'x64' && process.platform === 'linux';

interface Instruction {
  address: number;
  text: string;
}

/** Instructions by demangled function, of all kernels. */
const functions = new Map<string, Instruction[]>();

/** Loops without a loop inside: what lies between a jump back and its target. */
function innerLoops(body: Instruction[]): Instruction[][] {
  const loops: { from: number; to: number }[] = [];
  for (const { address, text } of body) {
    const target = Number.parseInt(/^j\w+\s+([0-9a-f]+)/.exec(text)?.[1] ?? '', 16);
    if (target <= address && target >= body[0]!.address) loops.push({ from: target, to: address });
  }
  return loops
    .filter(
      (loop) => !loops.some((other) => other !== loop && other.from >= loop.from && other.to <= loop.to),
    )
    .map(({ from, to }) => body.filter(({ address }) => address >= from && address <= to));
}

function loopWith(table: string, name: string, multiply: string): string[] {
  const found = [...functions].filter(([key]) => key.includes(`isa_${table}::${name}(`));
  expect(found.map(([key]) => key)).toHaveLength(1);
  const loops = innerLoops(found[0]![1]).map((loop) => loop.map(({ text }) => text));
  const multiplying = loops.filter((loop) => loop.some((text) => text.startsWith(multiply)));
  expect(multiplying.length).toBeGreaterThan(0);
  return multiplying.reduce((best, loop) => (loop.length > best.length ? loop : best));
}

beforeAll(() => {
  if (!readable) return;
  const { stdout } = spawnSync('objdump', ['-d', '-C', '--no-show-raw-insn', nativeTests], {
    encoding: 'utf8',
    maxBuffer: 1 << 29,
  });
  let body: Instruction[] = [];
  for (const line of stdout.split('\n')) {
    const start = /^[0-9a-f]+ <(.*)>:$/.exec(line);
    if (start) {
      body = [];
      if (start[1]!.includes('::isa_')) functions.set(start[1]!, body);
      continue;
    }
    const instruction = /^\s+([0-9a-f]+):\s+(\S.*?)\s*$/.exec(line);
    if (instruction) body.push({ address: Number.parseInt(instruction[1]!, 16), text: instruction[2]! });
  }
});

/** What a function does, wherever it lies and however its instructions are encoded. */
function withoutPlaces(body: Instruction[]): string[] {
  return body
    .map(({ text }) => text.replace(/^\{vex\} /, ''))
    .filter((text) => !/^(data16 |cs )*(nop|xchg +%ax,%ax)/.test(text))
    .map((text) => text.replace(/ +#.*$|<.*$/, '').replace(/[0-9a-f]+ +$|-?0x[0-9a-f]+\(%rip\)/, ''));
}

// A processor without AVX-VNNI runs the tests of this table in AVX-512's encoding (native/testing/kernels_as_evex.cc).
it.skipIf(!readable)('avxvnni: the tests run the instructions that ship', () => {
  const bodies = (table: string) =>
    new Map(
      [...functions]
        .filter(([name]) => name.includes(`isa_${table}::`))
        .map(([name, body]) => [name.replaceAll(`isa_${table}::`, ''), withoutPlaces(body)]),
    );
  const shipped = bodies('avxvnni');
  const texts = [...shipped.values()].flat();
  expect(shipped.size).toBeGreaterThan(20);
  expect(texts.filter((text) => /^vpdp(busd|wssd) /.test(text)).length).toBeGreaterThan(100);
  expect(shipped).toEqual(bodies('avxvnni_as_evex'));
  for (const text of texts) expect(text).not.toMatch(/%zmm|%[xy]mm(1[6-9]|[23]\d)|%k[0-7]/);
});

// A loop of its own lies inside, which fetches the next panel: the whole function is read.
it.skipIf(!readable)('amx: 16 rows are added for each tile that is multiplied, in registers', () => {
  for (const first of [0, 1]) {
    const found = [...functions].filter(([name]) => name.includes(`isa_amx::MultiplyTile<${first}>(`));
    expect(found).toHaveLength(1);
    const texts = found[0]![1].map(({ text }) => text);
    const count = (start: string) => texts.filter((text) => text.startsWith(start)).length;
    // Two in the loop, one behind it, and one or the other for the next tile; and once nothing is left to multiply.
    expect(count('tdpbssd')).toBe(5);
    expect(count('vfmadd')).toBe(16 * 6);
    expect(count('vcvtdq2ps')).toBe(16 * 6);
    expect(texts.filter((text) => /\(%r[sb]p/.test(text) && text.includes('%zmm'))).toEqual([]);
  }
});

describe.skipIf(!readable)(`loops${readable ? '' : ' [skipped: x86 Linux with objdump only]'}`, () => {
  it.each([
    ['avx512vnni', 'TileS8<6, 2>', 'vpdpbusd', 12, 24],
    ['avx512vnni', 'WeightedPairs<12, 2>', 'vpdpwssd', 24, 44],
    ['avx512vnni', 'PageScoresS8<6, 4>', 'vpdpbusd', 24, 39],
    ['avx512vnni', 'WeightedPairs<6, 4>', 'vpdpwssd', 24, 38],
    ['avx512', 'TileF32<12>', 'vfmadd', 24, 44],
    ['avx512', 'PageScoresS8<12, 1>', 'vpmaddwd', 24, 80],
    ['avxvnni', 'TileS8<6, 1>', '{vex} vpdpbusd', 12, 24],
    ['avxvnni', 'WeightedPairs<6, 1>', '{vex} vpdpwssd', 12, 26],
    ['avx2', 'TileF32<3>', 'vfmadd', 12, 26],
    ['avx2', 'BlockOfSums', 'vpmaddwd', 8, 44],
    ['avx2', 'TileS8<6, 1>', 'vpmaddwd', 12, 40],
    ['avx2', 'TileS8<1, 2>', 'vpmaddwd', 8, 30],
    ['avx2', 'WeightedPairs<6, 1>', 'vpmaddwd', 12, 40],
  ])('%s %s: %s %i times in at most %i instructions', (table, name, multiply, times, most) => {
    const loop = loopWith(table, name, multiply);
    expect(loop.filter((text) => text.startsWith(multiply))).toHaveLength(times);
    expect(loop.filter((text) => /\(%r[sb]p/.test(text) && /%[xyz]mm/.test(text))).toEqual([]);
    expect(loop.length).toBeLessThanOrEqual(most);
    const width = table.startsWith('avx512') ? '%zmm' : '%ymm';
    for (const text of loop.filter((text) => text.startsWith(multiply))) expect(text).toContain(width);
  });
});

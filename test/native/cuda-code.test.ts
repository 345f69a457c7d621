/**
 * The kernels as nvcc left them: no registers that spilled, no local memory, and hot loops of the matrix and dot
 * instructions that their tiles ask for, fed by 128-bit loads. What can be read without a GPU.
 */
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  countKinds,
  disassemble,
  findCudaTools,
  findLoops,
  hotLoop,
  occupancy,
  parsePtxas,
  readKernels,
  readManifest,
} from '../../scripts/cuda-code.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');
const manifest = readManifest(root);
const tools = manifest && (await findCudaTools(root, manifest.nvcc));
const why = manifest ? 'cuobjdump cannot be had' : 'no CUDA library was built';

type Kernel = Awaited<ReturnType<typeof readKernels>>[number];
type Body = { address: number; text: string }[];

/** An mma of m16n8k32, which sm_80 has, is four of m8n8k16. */
const mmaSize = (target: number) => (target >= 80 ? 1 : 4);

describe('reading the compiler', () => {
  const account = `ptxas info    : Compiling entry function '_Z1aPf' for 'sm_80'
ptxas info    : Function properties for _Z1aPf
    16 bytes stack frame, 8 bytes spill stores, 4 bytes spill loads
ptxas info    : Used 40 registers, used 1 barriers, 512 bytes smem, 400 bytes cmem[0]
ptxas info    : Compiling entry function '_Z1bPf' for 'sm_120'
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 255 registers`;

  it('sees registers, shared memory, stack and spills of each kernel and target', () => {
    expect(parsePtxas(account)).toEqual([
      { name: '_Z1aPf', target: 80, registers: 40, shared: 512, stack: 16, spills: 12 },
      { name: '_Z1bPf', target: 120, registers: 255, shared: 0, stack: 0, spills: 0 },
    ]);
  });

  const body: Body = [
    'MOV R1, R2',
    'LDG.E.128.CONSTANT R4, [R4.64]',
    'LDS.64 R2, [R3]',
    '@P1 BRA 0x20',
    'LDSM.16.M88.4 R8, [R9]',
    'IMMA.16832.S8.S8 R28, R8.ROW, R12.COL, R24',
    '@!P0 IDP.4A.S8.S8 R3, R4, R5, RZ',
    'STL [R1], R2',
    '@!P0 BRA 0x10',
    'BRA 0x90',
    'NOP',
  ].map((text, i) => ({ address: 16 * i, text }));

  it('sees loops, and takes the shortest one with most of the matrix and dot instructions for the hot one', () => {
    expect(findLoops(body).map((loop) => loop.length)).toEqual([2, 8]);
    expect(hotLoop(body)).toHaveLength(8);
    expect(hotLoop(body.slice(0, 4))).toBeUndefined();
  });

  it('counts kinds of instructions, predicated ones too', () => {
    expect(countKinds(body.map(({ text }) => text))).toMatchObject({
      ...{ all: 10, tensor: 1, dot: 1, share: 0.2, local: 1 },
      ...{ wideGlobal: 1, narrowGlobal: 0, wideShared: 1, narrowShared: 1 },
    });
  });

  it('computes how many warps fit', () => {
    // By hand: 168 registers, rounded to 168 * 32 = 5376 a warp, are 3 blocks of 4 warps of 64.
    expect(occupancy(80, 128, { registers: 168, shared: 38784 })).toBe(12 / 64);
    // Shared memory: (48 + 1) KiB of 100 KiB: 2 blocks of 8 warps of 48.
    expect(occupancy(89, 256, { registers: 32, shared: 49152 })).toBe(16 / 48);
    expect(occupancy(75, 1024, { registers: 32, shared: 0 })).toBe(1);
  });
});

describe.skipIf(!manifest)(`registers${manifest ? '' : ` [skipped: ${why}]`}`, () => {
  let kernels: Kernel[] = [];
  beforeAll(async () => {
    kernels = await readKernels(manifest!);
  });

  it.each<number>(manifest?.targets ?? [])('sm_%i: no kernel spills or has a stack', (target) => {
    const own = kernels.filter((kernel) => kernel.target === target);
    expect(own.length).toBeGreaterThan(0);
    expect(own.filter(({ stack, spills }) => stack > 0 || spills > 0)).toEqual([]);
  });

  it('every source has its kernels in every target', () => {
    const count = (target: number) => kernels.filter((kernel) => kernel.target === target).length;
    for (const target of manifest!.targets) expect(count(target)).toBe(count(manifest!.targets[0]!));
  });
});

interface Expected {
  /** Of the kernel's readable name. */
  pattern: RegExp;
  source: string;
  /** Matrix instructions of the hot loop, of m16n8k32. */
  tensor?: (...sizes: number[]) => number;
  /** The same, where warps share a tile in more than one way: the fewest that can do the work. */
  tensorAtLeast?: (...sizes: number[]) => number;
  dot?: (...sizes: number[]) => number;
  /** Least 128-bit loads from global memory in the loop: weights, and activations or cp.async. */
  wideGlobal: number;
  /** Least share of the issue slots, from sm_80 on. Measured with nvcc 13.0, less a tenth. */
  share: number;
}

const hotKernels: Expected[] = [
  // Shape<row warps, row tiles, column tiles, blocks>: two mma a group of 64 for each 16x8 tile.
  {
    pattern: /^GemmTiles<Shape<\d+, (\d+), (\d+), \d+>>$/,
    source: 'gemm_s8.cu',
    tensor: (rows, columns) => 2 * rows! * columns!,
    wideGlobal: 3,
    share: 0.03,
  },
  { pattern: /^GemmTiles<Shape<2, 2, 8, 3>>$/, source: 'gemm_s8.cu', wideGlobal: 7, share: 0.077 },
  {
    pattern: /^GemmThinRows<(\d+)>$/,
    source: 'gemm_thin_s8.cu',
    tensor: (tiles) => 2 * tiles!,
    wideGlobal: 3,
    share: 0.01,
  },
  // A lane multiplies 16 bytes of 4 columns' quarters with each row.
  {
    pattern: /^GemvRows<(\d+)>$/,
    source: 'gemv_s8.cu',
    dot: (rows) => 16 * rows!,
    wideGlobal: 6,
    share: 0.068,
  },
  // A page of 64 positions and 32 dimensions: 8 mma for the scores, 8 for the values.
  {
    pattern: /^AttentionS8Tile<(\d+), false>$/,
    source: 'attention_s8.cu',
    tensorAtLeast: (dimensions) => 16 * dimensions!,
    wideGlobal: 10,
    share: 0.015,
  },
];

const built = new Set(manifest?.objects.map(({ path }: { path: string }) => path.split('/').at(-1)));

describe.skipIf(!tools)(`machine code${tools ? '' : ` [skipped: ${why}]`}`, () => {
  const bodies = new Map<number, Map<string, Body>>();
  beforeAll(async () => {
    for (const target of manifest!.targets) {
      const all = new Map<string, Body>();
      for (const { path, object } of manifest!.objects) {
        if (!path.endsWith('.cu')) continue;
        for (const [name, body] of await disassemble(tools!, object, target)) all.set(name, body);
      }
      bodies.set(target, all);
    }
  });

  it.each<number>(manifest?.targets ?? [])('sm_%i: nothing reads or writes local memory', (target) => {
    const all = [...bodies.get(target)!];
    expect(all.length).toBeGreaterThan(0);
    for (const [name, body] of all) expect(countKinds(body.map(({ text }) => text)).local, name).toBe(0);
  });

  it.each(hotKernels.filter(({ source }) => built.has(source)))(
    'the hot loop of $pattern',
    ({ pattern, tensor, tensorAtLeast, dot, wideGlobal, share }) => {
      for (const target of manifest!.targets) {
        const found = [...bodies.get(target)!].filter(([name]) => pattern.test(name));
        expect(found.length, `sm_${target}`).toBeGreaterThan(0);
        for (const [name, body] of found) {
          const where = `${name} for sm_${target}`;
          const sizes = pattern.exec(name)!.slice(1).map(Number);
          const loop = hotLoop(body);
          expect(loop, where).toBeDefined();
          const kinds = countKinds(loop!);
          if (tensor) expect(kinds.tensor, where).toBe(tensor(...sizes) * mmaSize(target));
          if (tensorAtLeast)
            expect(kinds.tensor, where).toBeGreaterThanOrEqual(tensorAtLeast(...sizes) * mmaSize(target));
          if (dot) expect(kinds.dot, where).toBe(dot(...sizes));
          expect(kinds.wideGlobal, where).toBeGreaterThanOrEqual(wideGlobal);
          expect(kinds.share, where).toBeGreaterThan(share);
        }
      }
    },
  );

  it('every matrix instruction is of the size that its target has', () => {
    for (const [target, all] of bodies) {
      const texts = [...all.values()].flatMap((body) => body.map(({ text }) => text));
      const sizes = new Set(texts.flatMap((text) => /\bIMMA\.(\d+)/.exec(text)?.[1] ?? []));
      expect([...sizes], `sm_${target}`).toEqual([target >= 80 ? '16832' : '8816']);
    }
  });
});

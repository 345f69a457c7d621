/** What scripts/mutate-cuda.mjs changes, and that its list of changes without effect still describes the kernels. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { equivalents } from '../../scripts/cuda-equivalents.mjs';
import {
  barrierMutants,
  indexMutants,
  laneMutants,
  markEquivalents,
  mutantsOf,
  sample,
} from '../../scripts/cuda-mutants.mjs';

const changes = (text: string) =>
  indexMutants(text).map(({ from, to }: { from: string; to: string }) => `${from} -> ${to}`);

describe('mutants of CUDA kernels', () => {
  it('remove or weaken each barrier, not those in comments', () => {
    const text = '__syncthreads();  // __syncthreads();\n/* __syncwarp(); */ __syncwarp(mask);';
    expect(barrierMutants(text).map(({ from, to }) => `${from} -> ${to}`)).toEqual([
      '__syncthreads(); -> ;',
      '__syncthreads(); -> __syncwarp();',
      '__syncwarp(mask); -> ;',
    ]);
    expect(
      barrierMutants('CopyAsyncWait<kStages - 2>(); CopyAsyncCommit();').map(({ kind }) => kind),
    ).toEqual(['copy', 'copy']);
  });

  it('shift each subscript of an expression, and take lane / n for lane % n', () => {
    expect(changes('sums[r][0] = x[i + 1];')).toEqual([
      '[r] -> [(r) ^ 1]',
      '[0] -> [(0) ^ 1]',
      '[i + 1] -> [(i + 1) ^ 1]',
    ]);
    expect(changes('f(lane / 4, lane % 4);')).toEqual(['lane / 4 -> lane % 4', 'lane % 4 -> lane / 4']);
    expect(changes('const float4 low = rows[0], high = rows[1];')).toHaveLength(2);
    expect(changes('w[u] = {a, b};')).toHaveLength(1);
    expect(changes('return x[d];')).toHaveLength(1);
    expect(changes('v = far ? 0 : x[d];')).toHaveLength(1);
  });

  it("shift each use of a lane's number outside of subscripts", () => {
    const text = [
      'void F() {',
      '  const int lane = threadIdx.x % 32, other = 1;',
      '  if (lane < 8) p = weights + lane + other;',
      '  q = w[lane] + lane / 4;',
      '}',
      'int G(int lane) { return lane + 1; }',
    ].join('\n');
    const mutants = laneMutants(text);
    expect(mutants.map(({ at, to }) => [text.slice(at - 2, at + 6), to])).toEqual([
      ['+ lane +', '(lane ^ 1)'],
    ]);
  });

  it('leave the sizes of arrays and captures alone', () => {
    for (const text of [
      'int d[4];',
      'Tile w[kTiles], scales[kTiles][2];',
      'float sums[4][2] = {}, totals[4][2] = {};',
      'void F(float (&v)[4], const Tile (&w)[2][kN]);',
      'const auto f = [=](int d) { return d; };',
    ])
      expect(changes(text), text).toEqual([]);
  });

  it('are sampled alike for the same seed', () => {
    const items = [...Array(100).keys()];
    expect(sample(items, 10, 1)).toEqual(sample(items, 10, 1));
    expect(sample(items, 10, 1)).not.toEqual(sample(items, 10, 2));
    expect(new Set(sample(items, 200, 1)).size).toBe(100);
  });
});

describe('equivalent mutants', () => {
  const text = 'a[i] = b[i];\nc[i] = 1;';
  const mark = (code: string, from = '[i]') =>
    markEquivalents(mutantsOf('x.cu', text), new Map([['x.cu', text]]), [
      { file: 'x.cu', code, from, reason: 'why' },
    ]);

  it('are those within the text that is given', () => {
    const marked = mark('a[i] = b[i]').map((mutant: object) => 'equivalent' in mutant);
    expect(marked).toEqual([true, true, false]);
  });

  it('must be judged again when the source is another', () => {
    expect(() => mark('a[i] = d[i]')).toThrow(/judge this equivalent again/);
    expect(() => mark('[i] =')).toThrow(/judge this equivalent again/);
    expect(() => mark('a[i] = b[i]', '[j]')).toThrow(/judge this equivalent again/);
  });

  it('of the kernels are where the list says', () => {
    const room = fileURLToPath(new URL('../../native/backend/cuda', import.meta.url));
    const files = readdirSync(room).filter((file) => /\.cuh?$/.test(file));
    const texts = new Map(files.map((file) => [file, readFileSync(join(room, file), 'utf8')]));
    const marked = markEquivalents(
      [...texts].flatMap(([file, source]) => mutantsOf(file, source)),
      texts,
    );
    expect(marked.filter((mutant: object) => 'equivalent' in mutant).length).toBeGreaterThanOrEqual(
      equivalents.length,
    );
  });
});

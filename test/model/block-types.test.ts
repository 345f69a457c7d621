/**
 * Values of every block type of GGUF, and of safetensors with scales beside them, against those of the reference: random bits,
 * scales at the ends of what a file can say. Models of these types are rows of models.test.ts.
 */
import { createHash } from 'node:crypto';
import { expect, it } from 'vitest';
import type { TensorSource } from '../../lib/native.js';
import { fixtures, readGolden } from './golden.js';
import { readSource, readTensor } from './testing-addon.js';

const golden = readGolden<{ blocks: Record<string, string[]>; scaled: Record<string, string[]> }>(
  'block-types/golden.json',
);

/** As the golden's: what is no number has one pattern of bits. */
function hashOf(row: Float32Array): string {
  const bits = new Uint32Array(row.slice().buffer);
  row.forEach((value, i) => {
    if (Number.isNaN(value)) bits[i] = 0x7fc00000;
  });
  return createHash('sha256').update(bits).digest('hex').slice(0, 8);
}

function rowHashes(values: Float32Array, rows: number): string[] {
  const size = values.length / rows;
  return Array.from({ length: rows }, (_, i) => hashOf(values.subarray(i * size, (i + 1) * size)));
}

it.each(Object.entries(golden.blocks))('blocks of %s are those of the gguf package', (type, hashes) => {
  expect(rowHashes(readTensor([`${fixtures}block-types/blocks.gguf`], type), hashes.length)).toEqual(hashes);
});

const scaled = [`${fixtures}block-types/scaled.safetensors`];

it.each([
  ['block', 256, 384, 128, 128],
  ['row', 48, 96, 1, 96],
  ['tensor', 16, 32, 16, 32],
  ['experts', 256, 256, 128, 128],
])('FP8 with a scale a %s is that of transformers', (name, rows, columns, blockRows, blockColumns) => {
  const scales = { name: `${name}.weight_scale_inv`, rows: blockRows, columns: blockColumns };
  const source: TensorSource = { name: `${name}.weight`, scales };
  expect(rowHashes(readSource(scaled, { w: source }, rows, columns), rows)).toEqual(golden.scaled[name]);
});

it('MXFP4 of experts is that of transformers', () => {
  const scales = { name: 'experts_scales', rows: 1, columns: 32 };
  const experts = [0, 1, 2].flatMap((expert) => {
    const source: TensorSource = { name: 'experts_blocks', fp4: true, scales, expert, transposed: true };
    return rowHashes(readSource(scaled, { w: source }, 64, 10), 64);
  });
  expect(experts).toEqual(golden.scaled.mxfp4);
});

/**
 * The same experts in another form: `transformers` 5 can write those of a layer as one tensor (`save_original_format` false),
 * where published checkpoints have tensors for each. Both are read into the same bits.
 */
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { expectSameBits, fixtures } from './golden.js';
import { describeAt, joined, logitsOf, withModel } from './native-model.js';

interface Stored {
  shape: number[];
  bytes: Buffer;
}

/** All of float32. */
function readSafetensors(path: string): Map<string, Stored> {
  const file = readFileSync(path);
  const length = Number(file.readBigUInt64LE(0));
  const { __metadata__: _, ...entries } = JSON.parse(file.toString('utf8', 8, 8 + length));
  const stored = Object.entries(
    entries as Record<string, { shape: number[]; data_offsets: [number, number] }>,
  );
  return new Map(
    stored.map(
      ([
        name,
        {
          shape,
          data_offsets: [from, to],
        },
      ]) => [name, { shape, bytes: file.subarray(8 + length + from, 8 + length + to) }],
    ),
  );
}

function writeSafetensors(path: string, tensors: ReadonlyMap<string, Stored>): void {
  let at = 0;
  const entries = [...tensors].map(([name, { shape, bytes }]) => {
    const from = at;
    at += bytes.length;
    return [name, { dtype: 'F32', shape, data_offsets: [from, at] }] as const;
  });
  const header = Buffer.from(JSON.stringify(Object.fromEntries(entries)));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  writeFileSync(path, Buffer.concat([length, header, ...[...tensors.values()].map(({ bytes }) => bytes)]));
}

const each = /^(.*)\.(?:mlp|block_sparse_moe)\.experts\.(\d+)\.(\w+)\.weight$/;
const isDown = (part: string) => part === 'down_proj' || part === 'w2';
const isUp = (part: string) => part === 'up_proj' || part === 'w3';

/** Names that differ between the two forms. */
const renamed = (name: string) =>
  name
    .replace('block_sparse_moe.gate.', 'mlp.gate.')
    .replace('block_sparse_moe.input_linear.weight', 'block_sparse_moe.experts.gate_up_proj')
    .replace('block_sparse_moe.output_linear.weight', 'block_sparse_moe.experts.down_proj')
    .replace('block_sparse_moe.router.layer.', 'block_sparse_moe.router.')
    .replace('mlp.moe_statics.', 'mlp.gate.moe_statics.');

/** Experts of a layer one after the other, gates before ups. */
function stacked(tensors: ReadonlyMap<string, Stored>): Map<string, Stored> {
  const out = new Map<string, Stored>();
  const parts = new Map<string, { place: number; stored: Stored }[]>();
  for (const [name, stored] of tensors) {
    const [, layer, expert, part] = each.exec(name) ?? [];
    if (part === undefined) {
      out.set(renamed(name), stored);
      continue;
    }
    const whole = `${layer}.mlp.experts.${isDown(part) ? 'down_proj' : 'gate_up_proj'}`;
    parts.set(whole, [
      ...(parts.get(whole) ?? []),
      { place: 2 * Number(expert) + (isUp(part) ? 1 : 0), stored },
    ]);
  }
  for (const [name, all] of parts) {
    const [rows, columns] = all[0]!.stored.shape as [number, number];
    const inOrder = all.sort((a, b) => a.place - b.place).map(({ stored }) => stored.bytes);
    const bytes = Buffer.concat(inOrder);
    const wide = name.endsWith('gate_up_proj') ? 2 * rows : rows;
    out.set(name, { shape: [bytes.length / (4 * wide * columns), wide, columns], bytes });
  }
  return out;
}

const scratch = mkdtempSync(join(tmpdir(), 'kvasir-experts-'));
afterAll(() => rmSync(scratch, { recursive: true }));

it.each([
  'mixtral',
  'qwen2_moe',
  'qwen3_moe',
  'olmoe',
  'granitemoe',
  'granitemoeshared',
  'glm4_moe',
  'ernie4_5_moe',
  'hunyuan_v1_moe',
])('%s: experts of a layer as one tensor give the same bits', async (family) => {
  const from = `${fixtures}families/${family}`;
  const to = mkdtempSync(join(scratch, family));
  for (const name of readdirSync(from).filter((file) => file.endsWith('.json'))) {
    copyFileSync(join(from, name), join(to, name));
  }
  const published = readSafetensors(join(from, 'model.safetensors'));
  const other = stacked(published);
  expect([...other.keys()].sort()).not.toEqual([...published.keys()].sort());
  writeSafetensors(join(to, 'model.safetensors'), other);
  for (const dtype of ['fp32', 'int8'] as const) {
    const logits = async (path: string) =>
      withModel(await describeAt(path), { dtype }, async (model) =>
        joined(await logitsOf(model, [5, 9, 77, 3, 60, 41, 8])),
      );
    expectSameBits(await logits(to), await logits(from), dtype);
  }
});

/** A checkpoint of seeded random float32 values for any spec, under the canonical names of the table of tensors. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type ModelTensor, native, type TensorMap } from '../../lib/native.js';
import { type ModelSpec, specToJson } from '../../lib/spec.js';
import type { Loadable } from './native-model.js';

/** Standard normal values. */
function normalValues(seed: number): () => number {
  let state = seed >>> 0;
  const uniform = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state + 0.5) / 2 ** 32;
  };
  return () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
}

/** Name -> shape, of each tensor of a checkpoint. */
function storedTensors(table: readonly ModelTensor[], spec: ModelSpec): Map<string, number[]> {
  const stored = new Map<string, number[]>();
  for (const { name, role, rows, columns, parts } of table) {
    if (role === 'vector') {
      stored.set(name, rows === 1 ? [columns] : [rows, columns]);
      continue;
    }
    const [attention] = spec.attentions;
    // Queries, keys and values differ in rows where heads share keys; other parts have as many rows each.
    const queries = attention!.heads / (attention!.heads + 2 * attention!.kvHeads);
    for (const [i, part] of parts.entries()) {
      const isStacked = parts.length === 3;
      const share = isStacked ? (i === 0 ? queries : (1 - queries) / 2) : 1 / parts.length;
      stored.set(name === 'embed.tokens' ? name : `${part}.weight`, [Math.round(rows * share), columns]);
    }
  }
  return stored;
}

export interface RandomCheckpoint {
  folder: string;
  spec: ModelSpec;
  seed: number;
  /** Changes the values of one tensor, by name. */
  damage?: { tensor: string; change: (value: number, index: number) => number };
}

/** Every attention of the spec has the same shares of queries and keys. */
export function writeRandomCheckpoint({ folder, spec, seed, damage }: RandomCheckpoint): Loadable {
  const header: Record<string, object> = {};
  const tensors: TensorMap = {};
  const values: number[] = [];
  const normal = normalValues(seed);
  for (const [name, shape] of storedTensors(native().tensorsOf(specToJson(spec)), spec)) {
    const first = values.length;
    const isNorm = name.endsWith('norm.weight');
    const scale = shape.length > 1 ? 1 / Math.sqrt(shape.at(-1)!) : 0.1;
    const count = shape.reduce((product, size) => product * size, 1);
    for (let i = 0; i < count; i++) {
      const value = (isNorm ? 1 : 0) + scale * normal();
      values.push(damage?.tensor === name ? damage.change(value, i) : value);
    }
    header[name] = { dtype: 'F32', shape, data_offsets: [4 * first, 4 * values.length] };
    tensors[name] = { name };
  }
  if (damage !== undefined && !(damage.tensor in tensors)) throw new Error(`There is no ${damage.tensor}`);
  const text = Buffer.from(JSON.stringify(header));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(text.length));
  const path = join(folder, `random-${seed}-${damage?.tensor ?? 'whole'}.safetensors`);
  writeFileSync(path, Buffer.concat([size, text, Buffer.from(Float32Array.from(values).buffer)]));
  return { spec, tensors, paths: [path] };
}

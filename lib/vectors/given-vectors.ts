/** Vectors as callers give them, copied to float32, and their cosine. */
import { types } from 'node:util';
import { invalidOption, reading } from '../given.js';

/** Components, all finite in float32. */
export type Vector = Float32Array | readonly number[];

/** Throws INVALID_OPTION naming the first component that is not finite in float32. */
function checkFinite(values: Float32Array, name: string): void {
  const wrong = values.findIndex((value) => !Number.isFinite(value));
  if (wrong >= 0) throw invalidOption(`${name}[${wrong}]`, values[wrong], 'finite in float32');
}

/** A copy of one vector. Throws INVALID_OPTION where it has other `dimensions` (undefined: any) or holds what is no number. */
export function copyVector(vector: unknown, name: string, dimensions?: number): Float32Array {
  const allowed = `a Float32Array or an array of ${dimensions ?? 'at least 1'} finite numbers`;
  return reading(name, () => {
    if (!types.isFloat32Array(vector) && !Array.isArray(vector)) throw invalidOption(name, vector, allowed);
    const { length } = vector;
    if (length < 1 || (dimensions !== undefined && length !== dimensions)) {
      throw invalidOption(name, `${length} numbers long`, allowed);
    }
    const copy = new Float32Array(length);
    for (let i = 0; i < length; i++) {
      const value: unknown = vector[i];
      if (typeof value !== 'number') throw invalidOption(`${name}[${i}]`, value, 'a number');
      copy[i] = value;
    }
    checkFinite(copy, name);
    return copy;
  });
}

/** Several vectors, one after another: [n, dimensions]. A Float32Array holds any number of them. Throws INVALID_OPTION. */
export function copyVectors(vectors: unknown, dimensions: number): Float32Array {
  return reading('vectors', () => {
    if (types.isFloat32Array(vectors)) {
      if (vectors.length % dimensions !== 0) {
        throw invalidOption(
          'vectors',
          `${vectors.length} numbers long`,
          `whole vectors of ${dimensions} numbers`,
        );
      }
      // What is not finite is found by the native core, off this thread.
      return new Float32Array(vectors);
    }
    if (!Array.isArray(vectors)) {
      throw invalidOption('vectors', vectors, 'a Float32Array of whole vectors, or an array of vectors');
    }
    const rows = Array.from(vectors, (vector, i) => copyVector(vector, `vectors[${i}]`, dimensions));
    const copy = new Float32Array(rows.length * dimensions);
    for (const [i, row] of rows.entries()) copy.set(row, i * dimensions);
    return copy;
  });
}

/** A copy of `count` ids. Throws INVALID_OPTION. */
export function copyIds(ids: unknown, count: number): Float64Array | undefined {
  if (ids === undefined) return undefined;
  return reading('ids', () => {
    const isList = Array.isArray(ids) || (ArrayBuffer.isView(ids) && !(ids instanceof DataView));
    if (!isList) throw invalidOption('ids', ids, 'an array of integers');
    const list = ids as ArrayLike<unknown>;
    if (list.length !== count)
      throw invalidOption('ids', `${list.length} long`, `${count} long, one a vector`);
    const copy = new Float64Array(count);
    for (let i = 0; i < count; i++) {
      const id = list[i];
      if (!Number.isSafeInteger(id) || (id as number) < 0) {
        throw invalidOption(`ids[${i}]`, id, 'an integer from 0 to 2^53 - 1');
      }
      copy[i] = id as number;
    }
    return copy;
  });
}

/** Of vectors of one length, in float64; 0 where one of them is zero. */
export function cosine(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let [dot, aa, bb] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    dot += a[i] * b[i];
    aa += a[i] * a[i];
    bb += b[i] * b[i];
  }
  const lengths = Math.sqrt(aa) * Math.sqrt(bb);
  return lengths === 0 ? 0 : Math.max(-1, Math.min(1, dot / lengths));
}

/**
 * The cosine of two vectors, from -1 to 1: how alike two embeddings are. 0 where one of them is zero.
 * @throws INVALID_OPTION: they differ in length, or hold what is not finite.
 */
export function similarity(a: Vector, b: Vector): number {
  const first = copyVector(a, 'a');
  return cosine(first, copyVector(b, 'b', first.length));
}

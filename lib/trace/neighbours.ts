/** The tokens whose rows of the token table point the way of a vector. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Traced } from './text-run.js';

export interface Neighbour {
  id: number;
  text: string;
  /** Of the angle between the vector and the token's row. */
  cosine: number;
}

/** What lies nearest to the residual stream at one position. */
export interface NeighbourRow {
  /** Behind this layer; undefined: before the first one. */
  layer?: number;
  position: number;
  /** Most similar first, equal ones by the lower id. */
  nearest: Neighbour[];
}

/** Rows of the table that are read at a time. */
const rowsAtOnce = 1024;
/** Multiplications between two turns of the event loop: some 20 ms. */
const turnWork = 2 ** 24;

/**
 * @param vectors each [hidden]
 * @returns of each vector the nearest tokens, the nearest first, equal ones by the lower id
 */
export async function nearestTokens(
  { engine, inspection, spec, textOf }: Traced,
  vectors: readonly Float32Array[],
  count: number,
  signal?: AbortSignal,
): Promise<Neighbour[][]> {
  const { vocabSize, hiddenSize } = spec;
  const found = vectors.map((): { id: number; cosine: number }[] => []);
  const sizes = vectors.map(lengthOf);
  let work = 0;
  for (let first = 0; first < vocabSize; first += rowsAtOnce) {
    signal?.throwIfAborted();
    const n = Math.min(rowsAtOnce, vocabSize - first);
    const rows = await engine.visit(1, () => inspection.weightRows('embed.tokens', first, n));
    for (let row = 0; row < n; row++) {
      const values = rows.subarray(row * hiddenSize, (row + 1) * hiddenSize);
      const size = lengthOf(values);
      for (const [i, vector] of vectors.entries()) {
        const product = size * sizes[i]!;
        keep(
          found[i]!,
          { id: first + row, cosine: product === 0 ? 0 : dot(vector, values) / product },
          count,
        );
      }
      work += vectors.length * hiddenSize;
      if (work < turnWork) continue;
      work = 0;
      await nextTurn();
      signal?.throwIfAborted();
    }
  }
  return found.map((list) => list.map(({ id, cosine }) => ({ id, text: textOf(id), cosine })));
}

/** Puts it into its place, if it has one among the first. */
function keep(
  list: { id: number; cosine: number }[],
  one: { id: number; cosine: number },
  count: number,
): void {
  if (list.length === count && one.cosine <= list.at(-1)!.cosine) return;
  let at = list.length;
  while (at > 0 && list[at - 1]!.cosine < one.cosine) --at;
  list.splice(at, 0, one);
  if (list.length > count) list.pop();
}

function dot(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

function lengthOf(values: Float32Array): number {
  return Math.sqrt(dot(values, values));
}

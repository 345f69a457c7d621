/**
 * From the hidden states of a text's tokens to one vector, as sentence-transformers pools: sums are taken in float64, so
 * that long texts lose nothing.
 */

export const poolings = ['mean', 'cls', 'last', 'max', 'weighted-mean', 'mean-sqrt-length'] as const;

/**
 * - `mean`: of all tokens. `cls`: the first token. `last`: the last one. `max`: the largest of each component.
 * - `weighted-mean`: token i of n counts i / (1 + 2 + ... + n) (Muennighoff, 2022).
 * - `mean-sqrt-length`: the sum over the square root of the number of tokens.
 */
export type Pooling = (typeof poolings)[number];

/**
 * Positions [from, to) of a text of so many tokens that the pooling looks at, where its first `skipped` ones are left out:
 * none when nothing else is there, but for `cls`, which is the first of all then.
 */
export function rowsOf(pooling: Pooling, skipped: number, length: number): { from: number; to: number } {
  const from = Math.min(skipped, length);
  if (pooling === 'cls') {
    const first = skipped < length ? skipped : 0;
    return { from: first, to: first + 1 };
  }
  return { from: pooling === 'last' ? Math.max(from, length - 1) : from, to: length };
}

export class Pool {
  readonly #pooling: Pooling;
  readonly #sums: Float64Array;
  #rows = 0;
  #weights = 0;

  constructor(pooling: Pooling, size: number) {
    this.#pooling = pooling;
    this.#sums = new Float64Array(size);
    if (pooling === 'max') this.#sums.fill(Number.NEGATIVE_INFINITY);
  }

  /** The rows [size] of `rowsOf`, in order; `position` counts from the beginning of the text. */
  take(row: Float32Array, position: number): void {
    const sums = this.#sums;
    this.#rows++;
    if (this.#pooling === 'max') {
      for (let i = 0; i < sums.length; i++) if (row[i] > sums[i]) sums[i] = row[i];
      return;
    }
    const weight = this.#pooling === 'weighted-mean' ? position + 1 : 1;
    this.#weights += weight;
    for (let i = 0; i < sums.length; i++) sums[i] += weight * row[i];
  }

  /** [size]; zeros, as sentence-transformers gives, where there was no row. */
  result(): Float64Array {
    if (this.#rows === 0) return new Float64Array(this.#sums.length);
    const divisor =
      this.#pooling === 'max'
        ? 1
        : this.#pooling === 'mean-sqrt-length'
          ? Math.sqrt(this.#rows)
          : this.#weights;
    return this.#sums.map((sum) => sum / divisor);
  }
}

/** Divides by the Euclidean length, in place; a vector of zeros stays. */
export function normalize(vector: Float64Array): void {
  const length = Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0));
  if (length > 0) for (let i = 0; i < vector.length; i++) vector[i] /= length;
}

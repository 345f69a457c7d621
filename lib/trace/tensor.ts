/** One tensor of a trace, and what can be said of its values. */

export interface TensorStatistics {
  min: number;
  max: number;
  mean: number;
  /** sqrt(mean(x^2)). */
  rms: number;
  /** Values that are NaN or infinite; the others are left out of the rest. */
  notFinite: number;
}

export class TracedTensor {
  #statistics: TensorStatistics | undefined;

  /** @param values in the order of `shape`, the last index fastest. */
  constructor(
    /** 'embed', 'layers.3.weights'. */
    readonly name: string,
    /** Undefined outside of layers. */
    readonly layer: number | undefined,
    readonly shape: readonly number[],
    readonly values: Float32Array,
  ) {}

  /** Computed when it is asked for, once. */
  get statistics(): TensorStatistics {
    this.#statistics ??= statisticsOf(this.values);
    return this.#statistics;
  }

  /** What lies at these first indices: `at(2, 5)` of weights [heads, tokens, positions] is a row of positions. A view. */
  at(...indices: number[]): Float32Array {
    let [first, size] = [0, this.values.length];
    for (const [axis, index] of indices.entries()) {
      const length = this.shape[axis];
      if (length === undefined || !Number.isInteger(index) || index < 0 || index >= length) {
        throw new RangeError(`${this.name} [${this.shape.join(', ')}] has no [${indices.join(', ')}].`);
      }
      size /= length;
      first += index * size;
    }
    return this.values.subarray(first, first + size);
  }
}

/** All of a position: [columns], heads one after the other. */
export function rowAt(tensor: TracedTensor, position: number): Float32Array {
  if (tensor.shape.length === 2) return tensor.at(position);
  const [heads = 0] = tensor.shape;
  return joined(Array.from({ length: heads }, (_, head) => tensor.at(head, position)));
}

/** One after the other. */
export function joined(parts: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

function statisticsOf(values: Float32Array): TensorStatistics {
  let [min, max, sum, squares, notFinite] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0, 0, 0];
  for (const value of values) {
    if (!Number.isFinite(value)) {
      ++notFinite;
      continue;
    }
    min = Math.min(min, value);
    max = Math.max(max, value);
    sum += value;
    squares += value * value;
  }
  const n = values.length - notFinite;
  if (n === 0) return { min: Number.NaN, max: Number.NaN, mean: Number.NaN, rms: Number.NaN, notFinite };
  return { min, max, mean: sum / n, rms: Math.sqrt(squares / n), notFinite };
}

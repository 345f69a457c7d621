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

/** Values that lie elsewhere and are read when they are looked at. */
export interface StoredValues {
  readonly length: number;
  readonly statistics: TensorStatistics;
  /** Throws what the file system says. */
  read(first: number, count: number): Float32Array;
}

export class TracedTensor {
  readonly #values: Float32Array | StoredValues;
  #statistics: TensorStatistics | undefined;

  /** @param values in the order of `shape`, the last index fastest. */
  constructor(
    /** 'embed', 'layers.3.weights'. */
    readonly name: string,
    /** Undefined outside of layers. */
    readonly layer: number | undefined,
    readonly shape: readonly number[],
    values: Float32Array | StoredValues,
  ) {
    this.#values = values;
  }

  /** All of them. Of a trace that was written to a folder they are read anew each time: `at` reads a part. */
  get values(): Float32Array {
    return this.#read(0, this.#values.length);
  }

  /** Computed when it is asked for, once. */
  get statistics(): TensorStatistics {
    this.#statistics ??= ArrayBuffer.isView(this.#values)
      ? statisticsOf(this.#values)
      : this.#values.statistics;
    return this.#statistics;
  }

  /**
   * What lies at these first indices: `at(2, 5)` of weights [heads, tokens, positions] is a row of positions. A view of values
   * in memory. Throws a RangeError for what is not there.
   */
  at(...indices: number[]): Float32Array {
    let [first, size] = [0, this.#values.length];
    for (const [axis, index] of indices.entries()) {
      const length = this.shape[axis];
      if (length === undefined || !Number.isInteger(index) || index < 0 || index >= length) {
        throw new RangeError(`${this.name} [${this.shape.join(', ')}] has no [${indices.join(', ')}].`);
      }
      size /= length;
      first += index * size;
    }
    return this.#read(first, size);
  }

  #read(first: number, count: number): Float32Array {
    const values = this.#values;
    if (!ArrayBuffer.isView(values)) return values.read(first, count);
    return count === values.length ? values : values.subarray(first, first + count);
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

/** Statistics of values that come part by part. */
export class StatisticsSum {
  #min = Number.POSITIVE_INFINITY;
  #max = Number.NEGATIVE_INFINITY;
  #sum = 0;
  #squares = 0;
  #count = 0;
  #notFinite = 0;

  add(values: Float32Array): void {
    let [min, max, sum, squares, notFinite] = [this.#min, this.#max, this.#sum, this.#squares, 0];
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
    [this.#min, this.#max, this.#sum, this.#squares] = [min, max, sum, squares];
    this.#notFinite += notFinite;
    this.#count += values.length - notFinite;
  }

  get statistics(): TensorStatistics {
    const [n, notFinite] = [this.#count, this.#notFinite];
    if (n === 0) return { min: Number.NaN, max: Number.NaN, mean: Number.NaN, rms: Number.NaN, notFinite };
    const [min, max] = [this.#min, this.#max];
    return { min, max, mean: this.#sum / n, rms: Math.sqrt(this.#squares / n), notFinite };
  }
}

function statisticsOf(values: Float32Array): TensorStatistics {
  const sum = new StatisticsSum();
  sum.add(values);
  return sum.statistics;
}

/**
 * The largest of n values, by number or by mass, without sorting all: a histogram over the upper bits finds where to
 * cut, and only what lies near the cut is sorted (sorting 49k keys takes V8 about ten times as long as two passes over them).
 */

/** Ids must be below this, so that (inverted value bits, id) is one exact float64 integer. */
export const MAX_IDS = 2 ** 21;

const BINS = 1 << 16;
/** Below this many values, sorting all of them is cheaper than the histogram. */
const SORT_ALL = 1024;

/** Maps float bits to integers in the same order; -0 counts as +0. NaN is not expected. */
function orderedBits(bits: number): number {
  if (bits === 0x80000000) return 0x80000000;
  return bits & 0x80000000 ? ~bits >>> 0 : (bits | 0x80000000) >>> 0;
}

/** Undoes `orderedBits`. */
function bitsOf(ordered: number): number {
  return ordered & 0x80000000 ? (ordered & 0x7fffffff) >>> 0 : ~ordered >>> 0;
}

export class LargestFinder {
  readonly #keys: Float64Array;
  // Made when they are needed: 768 KB that most models never use.
  #histogram: Uint32Array | undefined;
  #mass: Float64Array | undefined;

  /** @param capacity the most values that a call will pass. */
  constructor(capacity: number) {
    this.#keys = new Float64Array(capacity);
  }

  /**
   * Writes the indices of the largest of `values[0..n)` into `out`, largest first, equal values by the lower index.
   * Returns how many were written: min(m, n).
   */
  find(values: Float32Array, n: number, m: number, out: Int32Array): number {
    const bits = new Uint32Array(values.buffer, values.byteOffset, n);
    const cut = n <= SORT_ALL || m >= n ? 0 : this.#cut(bits, m);
    const keys = this.#keys;
    let count = 0;
    for (let i = 0; i < n; i++) {
      const ordered = orderedBits(bits[i]);
      if (ordered >>> 16 >= cut) keys[count++] = (0xffffffff - ordered) * MAX_IDS + i;
    }
    const sorted = keys.subarray(0, count).sort();
    const found = Math.min(m, count);
    for (let i = 0; i < found; i++) out[i] = sorted[i] % MAX_IDS;
    return found;
  }

  /**
   * Keeps the fewest of the largest `values[0..n)`, equal ones by the lower index, whose weights sum to at least
   * `target`. Calls `keep` with their indices, ascending.
   */
  forMass(
    values: Float32Array,
    weights: Float64Array,
    n: number,
    target: number,
    keep: (i: number) => void,
  ): void {
    const bits = new Uint32Array(values.buffer, values.byteOffset, n);
    this.#mass ??= new Float64Array(BINS);
    const mass = this.#mass.fill(0);
    for (let i = 0; i < n; i++) mass[orderedBits(bits[i]) >>> 16] += weights[i];
    let bin = BINS - 1;
    let above = 0;
    while (bin > 0 && above + mass[bin] < target) above += mass[bin--];
    const cut = this.#cutInBin(bits, weights, bin, target - above);
    for (let i = 0; i < n; i++) {
      if ((0xffffffff - orderedBits(bits[i])) * MAX_IDS + i <= cut) keep(i);
    }
  }

  /** The key of the last value of a bin that is needed for `target`. */
  #cutInBin(bits: Uint32Array, weights: Float64Array, bin: number, target: number): number {
    const keys = this.#keys;
    let count = 0;
    for (let i = 0; i < bits.length; i++) {
      const ordered = orderedBits(bits[i]);
      if (ordered >>> 16 === bin) keys[count++] = (0xffffffff - ordered) * MAX_IDS + i;
    }
    const sorted = keys.subarray(0, count).sort();
    let sum = 0;
    for (const key of sorted) {
      sum += weights[key % MAX_IDS];
      if (sum >= target) return key;
    }
    return sorted[count - 1];
  }

  /** Sorts the pairs (values[i], ids[i]), i < n, in place: the largest value first, equal values by the lower id. */
  sortPairs(values: Float32Array, ids: Int32Array, n: number): void {
    const bits = new Uint32Array(values.buffer, values.byteOffset, n);
    const keys = this.#keys;
    for (let i = 0; i < n; i++) keys[i] = (0xffffffff - orderedBits(bits[i])) * MAX_IDS + ids[i];
    const sorted = keys.subarray(0, n).sort();
    for (let i = 0; i < n; i++) {
      ids[i] = sorted[i] % MAX_IDS;
      bits[i] = bitsOf(0xffffffff - Math.floor(sorted[i] / MAX_IDS));
    }
  }

  /** The highest bin such that it and those above it hold at least m values. */
  #cut(bits: Uint32Array, m: number): number {
    this.#histogram ??= new Uint32Array(BINS);
    const histogram = this.#histogram.fill(0);
    for (let i = 0; i < bits.length; i++) {
      const bin = orderedBits(bits[i]) >>> 16;
      histogram[bin] = histogram[bin] + 1;
    }
    let bin = BINS - 1;
    for (let above = 0; bin > 0; bin--) {
      above += histogram[bin];
      if (above >= m) break;
    }
    return bin;
  }
}

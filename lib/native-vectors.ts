/** An index of INT8 vectors as the addon gives it. One call at a time; another one waits, on the thread that makes it. */

/** What one query found, best first. */
export interface NativeHits {
  /** [n] */
  indices: Int32Array;
  /** [n]: the places, where no ids were given. */
  ids: Float64Array;
  /** [n] cosines. */
  scores: Float64Array;
}

export interface NativeVectors {
  /**
   * Appends vectors [n, dimensions] with ids [n]; both are copied. Resolves to the largest distance between a stored
   * direction and the given one. Rejects with INVALID_OPTION for what is not finite; nothing is added then.
   */
  add(vectors: Float32Array, ids?: Float64Array): Promise<number>;
  /** Of each query [n, dimensions] the counts [n] best; both are copied. A cancelled query's hits are incomplete. */
  search(
    queries: Float32Array,
    counts: Int32Array,
  ): { promise: Promise<NativeHits[]>; cancel(query: number): void };
  /** int8 [count, dimensions], then float64 [count] of ids where there are some. */
  read(first: number, count: number): Uint8Array;
  /** Appends what `read` gave. Throws MODEL_FORMAT. */
  append(bytes: Uint8Array, count: number, hasIds: boolean): void;
  /** Forgets those from `size` on. */
  truncate(size: number): void;
  /** Work that still runs goes on; later calls throw DISPOSED. */
  dispose(): void;
}

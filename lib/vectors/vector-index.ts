/**
 * Exact search over INT8 vectors: `add`, `search`, `save`, `load`. All work is done by native threads; calls take turns in
 * the order in which they were made, and searches that wait together read the vectors once.
 */
import { KvasirError } from '../errors.js';
import { integer, invalidOption, parseOptions, type Rule, signal as signalRule } from '../given.js';
import { fromNative, native, type NativeHits, type NativeVectors } from '../native.js';
import { copyIds, copyVector, copyVectors, type Vector } from './given-vectors.js';
import { readIndexFile, writeIndexFile } from './index-file.js';
import { type Turn, Turns } from './turns.js';

export interface VectorIndexOptions {
  /** Threads that search. Default: one per core that the process may use. */
  threads?: number;
}

export interface SearchOptions {
  /** Aborting rejects with the signal's reason. */
  signal?: AbortSignal;
}

export interface SearchHit {
  /** The vector's place in the order of adding, from 0. */
  index: number;
  /** The id that it was added with, or else its place. */
  id: number;
  /** Its cosine to the query, from -1 to 1. */
  score: number;
}

export const MOST_DIMENSIONS = 65_536;
const MOST_HITS = 65_536;
/** Queries that share one pass over the vectors, and hits of all of them. */
const AT_ONCE = 16;
/** Values that cross to the native core at a time: its copy takes well under a millisecond. */
const PART = 2 ** 18;

const indexRules = { threads: integer(1, 1024) } satisfies Record<keyof VectorIndexOptions, Rule>;
const searchRules = { signal: signalRule } satisfies Record<keyof SearchOptions, Rule>;

/** One search that waits, or runs together with others. */
class Search implements Turn {
  readonly result: Promise<NativeHits>;
  settled = false;
  #resolve!: (hits: NativeHits) => void;
  #reject!: (reason: unknown) => void;
  /** While it runs. */
  cancel: (() => void) | undefined;

  constructor(
    readonly query: Float32Array,
    readonly k: number,
    readonly searchAll: (searches: readonly Search[]) => Promise<void>,
  ) {
    this.result = new Promise((resolve, reject) => {
      [this.#resolve, this.#reject] = [resolve, reject];
    });
  }

  joins(turns: readonly Turn[]): boolean {
    if (turns.length >= AT_ONCE || !turns.every((turn) => turn instanceof Search)) return false;
    return turns.reduce((sum, turn) => sum + (turn as Search).k, this.k) <= MOST_HITS;
  }

  run(shared: readonly Turn[]): Promise<void> {
    return this.searchAll(shared as readonly Search[]);
  }

  succeed(hits: NativeHits): void {
    this.settled = true;
    this.#resolve(hits);
  }

  fail(reason: unknown): void {
    this.settled = true;
    this.#reject(reason);
    this.cancel?.();
  }
}

/** `add` of vectors that nobody changes; resolves to the largest distance between a stored direction and the given one. */
let addMeasured: (index: VectorIndex, vectors: Float32Array) => Promise<number>;
/** `search` for any number of hits. */
let candidatesOf: (
  index: VectorIndex,
  query: Float32Array,
  k: number,
  signal: AbortSignal | undefined,
) => Promise<NativeHits>;

export class VectorIndex {
  /** Components of each vector. */
  readonly dimensions: number;
  readonly #native: NativeVectors;
  readonly #turns = new Turns();
  #size = 0;
  #hasIds = false;
  #disposed: Promise<void> | undefined;

  static {
    addMeasured = (index, vectors) => index.#add(vectors, undefined);
    candidatesOf = (index, query, k, signal) => index.#search(query, k, signal);
  }

  /**
   * An empty index.
   * @param dimensions 1 to 65,536.
   * @throws INVALID_OPTION, ADDON_MISSING.
   */
  constructor(dimensions: number, options: VectorIndexOptions = {}) {
    const { fits, allowed } = integer(1, MOST_DIMENSIONS);
    if (!fits(dimensions)) throw invalidOption('dimensions', dimensions, allowed);
    const { threads } = parseOptions(indexRules, options, 'VectorIndex') as VectorIndexOptions;
    this.dimensions = dimensions;
    try {
      this.#native = native().createVectors(dimensions, threads ?? 0);
    } catch (error) {
      throw fromNative(error);
    }
  }

  /**
   * Reads what `save` wrote.
   * @throws MODEL_NOT_FOUND; MODEL_FORMAT: cut, damaged, or no such file; INSUFFICIENT_MEMORY, INVALID_OPTION.
   */
  static async load(path: string, options: VectorIndexOptions = {}): Promise<VectorIndex> {
    checkPath(path);
    parseOptions(indexRules, options, 'VectorIndex.load');
    let made: VectorIndex | undefined;
    try {
      await readIndexFile(path, (head) => {
        const index = new VectorIndex(head.dimensions, options);
        made = index;
        return (bytes, count) => index.#append(bytes, count, head.hasIds);
      });
    } catch (error) {
      await made?.dispose();
      throw fromNative(error);
    }
    return made as VectorIndex;
  }

  /** Vectors that have been added. */
  get size(): number {
    return this.#size;
  }

  /**
   * Appends vectors, which are copied at the call. They are stored as INT8 by their direction: their lengths are not kept.
   * All are added or none.
   * @param vectors a Float32Array of one vector or of several, one after another; or an array of vectors.
   * @param ids one integer a vector, from 0 to 2^53 - 1, which `search` gives back; several may have the same. Default: the
   * vector's place.
   * @throws INVALID_OPTION, INSUFFICIENT_MEMORY, DISPOSED, BUSY.
   */
  async add(vectors: Float32Array | readonly Vector[], ids?: ArrayLike<number>): Promise<void> {
    this.#throwIfDisposed();
    const copy = copyVectors(vectors, this.dimensions);
    await this.#add(copy, copyIds(ids, copy.length / this.dimensions));
  }

  /** Resolves to the largest distance between a stored direction and the given one. */
  async #add(copy: Float32Array, ownIds: Float64Array | undefined): Promise<number> {
    const count = copy.length / this.dimensions;
    if (count === 0) return 0;
    return this.#inTurn(async () => {
      const before = this.#size;
      const rows = Math.max(1, Math.floor(PART / this.dimensions));
      let distance = 0;
      try {
        for (let from = 0; from < count; from += rows) {
          const part = copy.subarray(from * this.dimensions, (from + rows) * this.dimensions);
          const added = await this.#native.add(part, ownIds?.subarray(from, from + rows));
          distance = Math.max(distance, added);
        }
      } catch (error) {
        this.#native.truncate(before);
        throw error;
      }
      this.#size = before + count;
      if (ownIds !== undefined) this.#hasIds = true;
      return distance;
    });
  }

  /**
   * The `k` vectors of largest cosine to the query, exactly: every stored vector is looked at. The best first, of equal ones
   * the lower index; all of them where there are fewer than `k`. It sees what was added by calls before it.
   * @param query a vector of `dimensions` finite numbers, copied.
   * @param k 1 to 65,536.
   * @throws INVALID_OPTION (an empty index too), DISPOSED, BUSY, or the signal's reason.
   */
  async search(query: Vector, k = 10, options: SearchOptions = {}): Promise<SearchHit[]> {
    this.#throwIfDisposed();
    const { signal } = parseOptions(searchRules, options, 'search') as SearchOptions;
    const { fits, allowed } = integer(1, MOST_HITS);
    if (!fits(k)) throw invalidOption('k', k, allowed);
    const copy = copyVector(query, 'query', this.dimensions);
    const { indices, ids, scores } = await this.#search(copy, k, signal);
    return Array.from(indices, (index, i) => ({ index, id: ids[i], score: scores[i] }));
  }

  /** @param k any number */
  async #search(query: Float32Array, k: number, signal: AbortSignal | undefined): Promise<NativeHits> {
    this.#throwIfDisposed();
    signal?.throwIfAborted();
    const search = new Search(query, k, (searches) => this.#searchAll(searches));
    this.#turns.add(search);
    const abort = () => {
      this.#turns.remove(search);
      search.fail(signal?.reason);
    };
    signal?.addEventListener('abort', abort, { once: true });
    try {
      return await search.result;
    } finally {
      signal?.removeEventListener('abort', abort);
    }
  }

  /**
   * Writes the index to a file, whole or not at all: an older file of that name stays until the new one is complete.
   * @throws INVALID_OPTION where it cannot be written, DISPOSED, BUSY.
   */
  async save(path: string): Promise<void> {
    this.#throwIfDisposed();
    checkPath(path);
    await this.#inTurn(() => {
      const head = { dimensions: this.dimensions, count: this.#size, hasIds: this.#hasIds };
      return writeIndexFile(path, head, (first, count) => this.#native.read(first, count));
    });
  }

  /** Waits for calls that were made before, then frees the vectors. Idempotent; later calls throw DISPOSED. */
  dispose(): Promise<void> {
    this.#disposed ??= this.#turns.idle().then(() => this.#native.dispose());
    return this.#disposed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  #append(bytes: Uint8Array, count: number, hasIds: boolean): void {
    this.#native.append(bytes, count, hasIds);
    this.#size += count;
    this.#hasIds ||= hasIds;
  }

  #inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    return new Promise((resolve, reject) => {
      const run = () =>
        work().then(resolve, (error: unknown) => {
          reject(fromNative(error));
        });
      this.#turns.add({ run });
    });
  }

  async #searchAll(searches: readonly Search[]): Promise<void> {
    // An abort may have come while the first of them waited for its turn.
    const open = searches.filter(({ settled }) => !settled);
    if (open.length === 0) return;
    try {
      if (this.#size === 0) throw new KvasirError('INVALID_OPTION', 'The index is empty: add vectors first.');
      const queries = new Float32Array(open.length * this.dimensions);
      for (const [i, { query }] of open.entries()) queries.set(query, i * this.dimensions);
      const running = this.#native.search(
        queries,
        Int32Array.from(open, ({ k }) => k),
      );
      for (const [i, search] of open.entries()) search.cancel = () => running.cancel(i);
      const found = await running.promise;
      for (const [i, search] of open.entries()) search.succeed(found[i]);
    } catch (error) {
      for (const search of open) search.fail(fromNative(error));
    }
  }

  #throwIfDisposed(): void {
    if (this.#disposed) throw new KvasirError('DISPOSED', 'The vector index has been disposed of.');
  }
}

function checkPath(path: unknown): void {
  if (typeof path !== 'string' || path === '' || path.includes('\0')) {
    throw invalidOption('path', path, 'the path of a file');
  }
}

export { addMeasured, candidatesOf };

/**
 * Words with vectors, and which are nearest to which: exact cosines of the float32 vectors. An INT8 index finds the
 * candidates, off the JavaScript thread, and they are ranked again; how far INT8 can be wrong is known, so that none is missed.
 */
import { KvasirError } from '../errors.js';
import { integer, invalidOption, parseOptions, type Rule, show, signal as signalRule } from '../given.js';
import { copyVector, cosine, type Vector } from './given-vectors.js';
import { embedStatic, type StaticEmbedOptions, type StaticTexts } from './static-texts.js';
import { addMeasured, candidatesOf, type SearchOptions, VectorIndex } from './vector-index.js';
import type { WordTable } from './word-table.js';

export interface NearWord {
  word: string;
  /** Its place among the words, from 0. */
  index: number;
  /** The cosine, from -1 to 1. */
  score: number;
}

const MOST_NEAR = 10_000;

interface WordVectorsParts {
  table: WordTable;
  index: VectorIndex;
  /** Most that a cosine of the index differs from the true one. */
  error: number;
  texts: StaticTexts | undefined;
}
const searchRules = { signal: signalRule } satisfies Record<keyof SearchOptions, Rule>;
/** Only this library makes them. */
export const made = Symbol('made');

export class WordVectors {
  readonly #table: WordTable;
  readonly #index: VectorIndex;
  /** Most that a cosine of the index differs from the true one. */
  readonly #error: number;
  readonly #texts: StaticTexts | undefined;

  constructor(key: typeof made, parts: WordVectorsParts) {
    if (key !== made) throw new KvasirError('INVALID_OPTION', 'WordVectors are made by staticVectors.');
    this.#table = parts.table;
    this.#index = parts.index;
    this.#error = parts.error;
    this.#texts = parts.texts;
  }

  get size(): number {
    return this.#table.size;
  }

  get dimensions(): number {
    return this.#table.dimensions;
  }

  /** In the order of the file. */
  get words(): readonly string[] {
    return this.#table.words;
  }

  has(word: string): boolean {
    return this.#table.placeOf(word) !== undefined;
  }

  /** A copy of the word's vector [dimensions], as the file has it; undefined for a word that is not there. */
  vector(word: string): Float32Array | undefined {
    const place = this.#table.placeOf(word);
    return place === undefined ? undefined : this.#table.vector(place).slice();
  }

  /**
   * The `k` words of largest cosine to a word, itself left out, or to a vector. The best first, of equal ones that which comes
   * first in the file.
   * @param k 1 to 10,000.
   * @throws INVALID_OPTION (an unknown word too), DISPOSED, BUSY, or the signal's reason.
   */
  async nearest(to: string | Vector, k = 10, options: SearchOptions = {}): Promise<NearWord[]> {
    if (typeof to !== 'string') {
      return this.#nearest(Float64Array.from(copyVector(to, 'to', this.dimensions)), [], k, options);
    }
    const place = this.#placeOf(to, 'to');
    return this.#nearest(Float64Array.from(this.#table.vector(place)), [place], k, options);
  }

  /**
   * Which words are to `c` as `b` is to `a`: those nearest to b - a + c, each of length 1, the three themselves left out.
   * analogy('man', 'king', 'woman') asks for king - man + woman.
   * @throws as `nearest`.
   */
  async analogy(a: string, b: string, c: string, k = 10, options: SearchOptions = {}): Promise<NearWord[]> {
    const places = [this.#placeOf(a, 'a'), this.#placeOf(b, 'b'), this.#placeOf(c, 'c')];
    const sum = new Float64Array(this.dimensions);
    for (const [i, place] of places.entries()) {
      const vector = this.#table.vector(place);
      const length = Math.sqrt(vector.reduce((all, value) => all + value * value, 0));
      const weight = length === 0 ? 0 : (i === 0 ? -1 : 1) / length;
      for (let n = 0; n < sum.length; n++) sum[n] += weight * vector[n];
    }
    return this.#nearest(sum, places, k, options);
  }

  /**
   * One vector [dimensions] a text, of a folder of model2vec: the mean of its tokens' vectors, of length 1 where the folder says
   * so. Zeros for a text without a known token.
   * @param texts well-formed.
   * @throws INVALID_OPTION (a file of words has no tokenizer), LIMIT_EXCEEDED, DISPOSED, or the signal's reason.
   */
  async embed(texts: string | readonly string[], options: StaticEmbedOptions = {}): Promise<Float32Array[]> {
    if (this.#texts === undefined) {
      throw new KvasirError(
        'INVALID_OPTION',
        'embed needs a folder of model2vec: these are words without a tokenizer.',
      );
    }
    return embedStatic(this.#texts, texts, options);
  }

  /** Frees the vectors of the index, and the tokenizer of texts. Idempotent; later searches throw DISPOSED. */
  async dispose(): Promise<void> {
    await Promise.all([this.#index.dispose(), this.#texts?.tokenizer.dispose()]);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  #placeOf(word: unknown, name: string): number {
    const place = typeof word === 'string' ? this.#table.placeOf(word) : undefined;
    if (place !== undefined) return place;
    throw new KvasirError('INVALID_OPTION', `${name}: ${show(word)} is not among the ${this.size} words.`, {
      details: { option: name },
    });
  }

  async #nearest(
    query: Float64Array,
    without: readonly number[],
    k: number,
    options: SearchOptions,
  ): Promise<NearWord[]> {
    const { fits, allowed } = integer(1, MOST_NEAR);
    if (!fits(k)) throw invalidOption('k', k, allowed);
    const { signal } = parseOptions(searchRules, options, 'nearest') as SearchOptions;
    const direction = unit(query);
    const narrow = Float32Array.from(direction);
    for (let count = Math.min(this.size, 4 * k + 64); ; count = Math.min(this.size, 4 * count)) {
      const { indices, scores } = await candidatesOf(this.#index, narrow, count, signal);
      const ranked = Array.from(indices, (index) => ({
        word: this.#table.words[index],
        index,
        score: cosine(direction, this.#table.vector(index)),
      }))
        .filter(({ index }) => !without.includes(index))
        .sort((a, b) => b.score - a.score || a.index - b.index)
        .slice(0, k);
      // No word that is not among them can be as near as the last.
      const bound = scores[scores.length - 1] + this.#error;
      if (count === this.size || (ranked.length === k && ranked[k - 1].score > bound)) return ranked;
    }
  }
}

/** In float64: of length 1, or zero. */
function unit(vector: Float64Array): Float64Array {
  const length = Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0));
  return length === 0 ? vector : vector.map((value) => value / length);
}

/** Puts the words into an index. Throws INSUFFICIENT_MEMORY, INVALID_OPTION or the signal's reason. */
export async function indexWords(
  table: WordTable,
  { threads, signal, texts }: { threads?: number; signal?: AbortSignal; texts?: StaticTexts },
): Promise<WordVectors> {
  const index = new VectorIndex(table.dimensions, { threads });
  try {
    let stored = 0;
    for (const segment of table.segments()) {
      signal?.throwIfAborted();
      stored = Math.max(stored, await addMeasured(index, segment));
    }
    // A query is rounded to at least 1 / 255 of its largest value in 65,536 dimensions, to 1 / 32,767 in up to 512.
    const steps = Math.min(32_767, Math.floor((2 ** 31 - 1) / (128 * Math.ceil(table.dimensions / 32) * 32)));
    const error = stored + Math.sqrt(table.dimensions) / steps + 1e-6;
    return new WordVectors(made, { table, index, error, texts });
  } catch (error) {
    await index.dispose();
    throw error;
  }
}

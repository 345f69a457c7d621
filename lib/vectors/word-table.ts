/** Words and their float32 vectors in memory, in the order of a file. Of a word that comes twice the first counts. */
import { KvasirError } from '../errors.js';

/** What a Map of JavaScript holds. */
export const MOST_WORDS = 2 ** 24;
const SEGMENT_VALUES = 2 ** 20;

export class WordTable {
  readonly dimensions: number;
  readonly words: string[] = [];
  readonly #places = new Map<string, number>();
  readonly #segmentRows: number;
  readonly #segments: Float32Array[] = [];

  constructor(dimensions: number) {
    this.dimensions = dimensions;
    this.#segmentRows = Math.max(1, Math.floor(SEGMENT_VALUES / dimensions));
  }

  get size(): number {
    return this.words.length;
  }

  /** Where the next word's vector is to be written: [dimensions]. Throws INSUFFICIENT_MEMORY. */
  next(): Float32Array {
    const segment = Math.floor(this.size / this.#segmentRows);
    try {
      this.#segments[segment] ??= new Float32Array(this.#segmentRows * this.dimensions);
    } catch (cause) {
      const message = `There is no memory for more than ${this.size} word vectors; read fewer with limit.`;
      throw new KvasirError('INSUFFICIENT_MEMORY', message, { cause });
    }
    return this.vector(this.size);
  }

  /** Takes what `next` gave as this word's vector, or leaves it where the word is there already. */
  commit(word: string): void {
    if (this.#places.has(word)) return;
    this.#places.set(word, this.size);
    this.words.push(word);
  }

  /** Takes it even where the word is there already, so that places are those of a vocabulary. Of two the first is found. */
  append(word: string): void {
    if (!this.#places.has(word)) this.#places.set(word, this.size);
    this.words.push(word);
  }

  placeOf(word: string): number | undefined {
    return this.#places.get(word);
  }

  /** A view [dimensions]. */
  vector(place: number): Float32Array {
    const row = place % this.#segmentRows;
    const segment = this.#segments[Math.floor(place / this.#segmentRows)] as Float32Array;
    return segment.subarray(row * this.dimensions, (row + 1) * this.dimensions);
  }

  /** Views of all vectors, whole ones at a time. */
  *segments(): Generator<Float32Array> {
    for (const [i, segment] of this.#segments.entries()) {
      const rows = Math.min(this.#segmentRows, this.size - i * this.#segmentRows);
      if (rows > 0) yield segment.subarray(0, rows * this.dimensions);
    }
  }
}

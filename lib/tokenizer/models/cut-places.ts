/**
 * Places where byte pair encoding never joins what is before with what is behind: a text that is cut there has the same tokens,
 * and its pieces are short and come again.
 *
 * A symbol is spelled as the symbols that it was made of, one behind the other, and what a merge makes is a token. So a merge
 * joins two symbols only where some token has the last character of the one and, next to it, the first of the other. A character
 * that is a token is spelled as it is; every other becomes the unknown token or tokens of bytes, which end as their names do.
 * Behind a cut stands a character that is a token, so that no run of unknown ones goes across it.
 */
import { pointIn, utf8Length } from '../utf8.js';
import type { Cuts } from './model.js';
import type { TokenIndex } from './token-index.js';

/** Bits of the table for each token: a few percent are set. One that is set without need is a cut less, and no more. */
const bitsOfToken = 8;

function hashOf(before: number, unit: number): number {
  const hash = Math.imul(before, 0x9e3779b1 | 0) ^ Math.imul(unit, 0x85ebca6b | 0);
  return hash ^ (hash >>> 15);
}

export class CutPlaces implements Cuts {
  /** A bit by the hash of two UTF-16 units: a token may have them next to each other. Uint32 [a power of two]. */
  readonly #pairs: Uint32Array;
  readonly #mask: number;
  /** By UTF-16 unit, 1: the character that it is by itself is a token. */
  readonly #known = new Uint8Array(0x10000);
  /** Last units of the tokens that characters become which are none. */
  readonly #ends: readonly number[];

  /** `others`: the spellings of the tokens that characters become which are none. None is empty. */
  constructor(index: TokenIndex, others: readonly string[]) {
    let words = 32;
    while (32 * words < bitsOfToken * index.count) words *= 2;
    this.#pairs = new Uint32Array(words);
    this.#mask = words - 1;
    this.#ends = [...new Set(others.map((spelling) => spelling.charCodeAt(spelling.length - 1)))];
    index.forEach((bytes, start, end) => {
      this.#add(bytes, start, end);
    });
  }

  next(text: string, from: number, to: number): number {
    let before = text.charCodeAt(from);
    for (let at = from + 1; at < to; ++at) {
      const unit = text.charCodeAt(at);
      if (!this.#touch(before, unit) && this.#part(before, unit)) return at;
      before = unit;
    }
    return to;
  }

  /** Whether a token may have the two next to each other. */
  #touch(before: number, unit: number): boolean {
    const hash = hashOf(before, unit);
    return (this.#pairs[(hash >>> 5) & this.#mask]! & (1 << hash)) !== 0;
  }

  /** Whether a text may be cut between two that do not touch. Half a pair of surrogates is not known. */
  #part(before: number, unit: number): boolean {
    if (this.#known[unit] === 0) return false;
    return this.#known[before] === 1 || !this.#ends.some((end) => this.#touch(end, unit));
  }

  /** A spelling: all that touches in it. */
  #add(bytes: Uint8Array, start: number, end: number): void {
    let before = -1;
    for (let at = start; at < end; ) {
      const point = pointIn(bytes, at);
      at += utf8Length(point);
      if (point <= 0xffff) {
        if (before >= 0) this.#addPair(before, point);
        else if (at === end) this.#known[point] = 1;
        before = point;
        continue;
      }
      if (before >= 0) this.#addPair(before, 0xd7c0 + (point >> 10));
      before = 0xdc00 | (point & 0x3ff);
    }
  }

  #addPair(before: number, unit: number): void {
    const hash = hashOf(before, unit);
    this.#pairs[(hash >>> 5) & this.#mask]! |= 1 << hash;
  }
}

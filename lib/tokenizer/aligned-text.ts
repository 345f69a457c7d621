/**
 * A stretch of text on its way through normalizers and pre-tokenizers, with the place in the original that each UTF-16 unit
 * comes from, when offsets are wanted. All units of a character have the offsets of the whole character.
 */

import { checkStopped, checkTextLength } from './work.js';

export interface AlignedText {
  readonly text: string;
  /** Offset of the stretch in the original. */
  readonly base: number;
  /** By unit of `text`, int32 [text.length]; absent when offsets are not wanted. */
  readonly starts?: Int32Array;
  readonly ends?: Int32Array;
}

export function pointAt(text: string, at: number): number {
  return text.codePointAt(at)!;
}

export function widthOf(point: number): number {
  return point > 0xffff ? 2 : 1;
}

/** Of a stretch that is as it was written. */
export function alignedText(text: string, base: number, tracked: boolean): AlignedText {
  if (!tracked) return { text, base };
  const starts = new Int32Array(text.length);
  const ends = new Int32Array(text.length);
  for (let i = 0; i < text.length; ) {
    const width = widthOf(pointAt(text, i));
    for (let k = i; k < i + width; ++k) {
      starts[k] = base + i;
      ends[k] = base + i + width;
    }
    i += width;
  }
  return { text, base, starts, ends };
}

/** Pieces that are put together before they become one string: until then each takes memory of its own. */
const piecesTogether = 4096;

/** Builds a text out of another. Throws LIMIT_EXCEEDED when it becomes too long. */
export class Rewriting {
  readonly #parts: string[] = [];
  #text = '';
  #pieces = 0;
  #length = 0;
  /** Int32 [capacity]. */
  #starts: Int32Array | undefined;
  #ends: Int32Array | undefined;

  constructor(readonly source: AlignedText) {
    if (source.starts === undefined) return;
    this.#starts = new Int32Array(source.text.length + 16);
    this.#ends = new Int32Array(source.text.length + 16);
  }

  get length(): number {
    return this.#length;
  }

  /** As it is. */
  keep(from: number, to: number): void {
    if (from === to) return;
    const { starts, ends, text } = this.source;
    const at = this.#add(text.slice(from, to));
    if (this.#starts === undefined) return;
    this.#starts.set(starts!.subarray(from, to), at);
    this.#ends!.set(ends!.subarray(from, to), at);
  }

  /** Text that comes from a unit of the source; -1: from nothing, at the front. */
  put(text: string, unit: number): void {
    const at = this.#add(text);
    if (this.#starts === undefined) return;
    const start = unit < 0 ? this.source.base : this.source.starts![unit]!;
    const end = unit < 0 ? this.source.base : this.source.ends![unit]!;
    this.#starts.fill(start, at, this.#length);
    this.#ends!.fill(end, at, this.#length);
  }

  /** Gives where it begins. */
  #add(text: string): number {
    const at = this.#length;
    this.#length += text.length;
    checkTextLength(this.#length);
    this.#text += text;
    if (++this.#pieces === piecesTogether) this.#gather();
    if (this.#starts !== undefined && this.#length > this.#starts.length) {
      this.#starts = grown(this.#starts, 2 * this.#length);
      this.#ends = grown(this.#ends!, 2 * this.#length);
    }
    return at;
  }

  #gather(): void {
    checkStopped();
    // A string of pieces becomes one of characters when it is looked into.
    this.#text.charCodeAt(0);
    this.#parts.push(this.#text);
    this.#text = '';
    this.#pieces = 0;
  }

  done(): AlignedText {
    const { base } = this.source;
    const text = this.#parts.length === 0 ? this.#text : this.#parts.join('') + this.#text;
    if (this.#starts === undefined) return { text, base };
    return {
      text,
      base,
      starts: this.#starts.slice(0, text.length),
      ends: this.#ends!.slice(0, text.length),
    };
  }
}

function grown(from: Int32Array, capacity: number): Int32Array<ArrayBuffer> {
  const to = new Int32Array(capacity);
  to.set(from);
  return to;
}

/** What a change says of a character: 0 it replaces one, 1 it is added, -n it replaces one and n after it go. */
export type Change = [character: string, change: number];

/** Applies changes to what follows `at` in the source, as the reference counts them; gives where they end. */
export function rewrite(rewriting: Rewriting, at: number, changes: readonly Change[]): number {
  const { text } = rewriting.source;
  for (const [character, change] of changes) {
    if (change > 0) {
      rewriting.put(character, at - 1);
      continue;
    }
    rewriting.put(character, at);
    for (let gone = 0; gone <= -change && at < text.length; ++gone) at += widthOf(pointAt(text, at));
  }
  return at;
}

/** Applies changes to a text from its start to its end; they come in lists. */
export function transformed(source: AlignedText, lists: Iterable<readonly Change[]>): AlignedText {
  const rewriting = new Rewriting(source);
  let at = 0;
  for (const changes of lists) at = rewrite(rewriting, at, changes);
  return rewriting.done();
}

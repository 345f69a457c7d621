/**
 * A stretch of text on its way through normalizers and pre-tokenizers, with the place in the original that each UTF-16 unit
 * comes from, when offsets are wanted. All units of a character have the offsets of the whole character.
 */

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

/** Builds a text out of another. */
export class Rewriting {
  #text = '';
  readonly #starts: number[] | undefined;
  readonly #ends: number[] | undefined;

  constructor(readonly source: AlignedText) {
    if (source.starts === undefined) return;
    this.#starts = [];
    this.#ends = [];
  }

  get length(): number {
    return this.#text.length;
  }

  /** As it is. */
  keep(from: number, to: number): void {
    this.#text += this.source.text.slice(from, to);
    if (this.#starts === undefined) return;
    for (let i = from; i < to; ++i) {
      this.#starts.push(this.source.starts![i]!);
      this.#ends!.push(this.source.ends![i]!);
    }
  }

  /** Text that comes from a unit of the source; -1: from nothing, at the front. */
  put(text: string, unit: number): void {
    this.#text += text;
    if (this.#starts === undefined) return;
    const start = unit < 0 ? this.source.base : this.source.starts![unit]!;
    const end = unit < 0 ? this.source.base : this.source.ends![unit]!;
    for (let i = 0; i < text.length; ++i) {
      this.#starts.push(start);
      this.#ends!.push(end);
    }
  }

  done(): AlignedText {
    const { base } = this.source;
    if (this.#starts === undefined) return { text: this.#text, base };
    return {
      text: this.#text,
      base,
      starts: Int32Array.from(this.#starts),
      ends: Int32Array.from(this.#ends!),
    };
  }
}

/** What a change says of a character: 0 it replaces one, 1 it is added, -n it replaces one and n after it go. */
export type Change = [character: string, change: number];

/** Applies changes to a text from its start to its end, as the reference counts them. */
export function transformed(source: AlignedText, changes: readonly Change[]): AlignedText {
  const rewriting = new Rewriting(source);
  const { text } = source;
  let at = 0;
  for (const [character, change] of changes) {
    if (change > 0) {
      rewriting.put(character, at - 1);
      continue;
    }
    rewriting.put(character, at);
    for (let gone = 0; gone <= -change && at < text.length; ++gone) at += widthOf(pointAt(text, at));
  }
  return rewriting.done();
}

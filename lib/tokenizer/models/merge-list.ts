/** The merges of a BPE model in order of rank, as the ids of their parts and of what they become. */
import { MergeTable } from './merge-table.js';
import type { TokenIndex } from './token-index.js';

const encoder = new TextEncoder();
/** A line that begins so is no merge. */
const version = encoder.encode('#version');
const space = 0x20;
/** Ints of a merge. */
const fields = 3;
/** Merges that are looked up together. */
const batch = 64;

export class MergeList {
  readonly #prefix: Uint8Array;
  /** Left, right, joined by turns, int32 [fields * capacity]. */
  #ids: Int32Array;
  #count = 0;
  /** The entry that the last merge became: the next mostly becomes it too, or the one behind it. */
  #entry = 0;
  #joined = new Uint8Array(256);
  /** What waits: its text, and where in it the two parts begin and end, int32 [4 * batch]. */
  #text: Uint8Array = new Uint8Array(0);
  readonly #places = new Int32Array(4 * batch);
  #waiting = 0;
  /** Of the table, where it has been made before. */
  #slots: Int32Array | undefined;
  /** Entries of the parts, int32 [2 * batch]. */
  readonly #parts = new Int32Array(2 * batch);

  /** `prefix`: what the right part loses when it is joined. `expected`: how many merges. */
  constructor(
    readonly index: TokenIndex,
    readonly prefix: string,
    expected: number,
  ) {
    this.#prefix = encoder.encode(prefix);
    this.#ids = new Int32Array(fields * Math.max(batch, expected));
  }

  /** The list that has these, which it keeps: left, right, joined by turns, int32 [3 * merges]. `slots`: of their table. */
  static of(index: TokenIndex, prefix: string, ids: Int32Array, slots: Int32Array): MergeList {
    const list = new MergeList(index, prefix, 0);
    list.#ids = ids;
    list.#count = ids.length / fields;
    list.#slots = slots;
    return list;
  }

  /** What `of` takes, not copied. Of all that does not wait. */
  get ids(): Int32Array {
    return this.#ids.subarray(0, fields * this.#count);
  }

  /**
   * A merge of text[start, middle) and text[next, end), which are not changed before the next `flush`. False: some merge has a
   * part that is no token, or becomes none; the list is of no use then.
   */
  push(text: Uint8Array, start: number, middle: number, next: number, end: number): boolean {
    const known = (text === this.#text && this.#waiting < batch) || this.flush();
    this.#text = text;
    const places = this.#places;
    const at = 4 * this.#waiting++;
    places[at] = start;
    places[at + 1] = middle;
    places[at + 2] = next;
    places[at + 3] = end;
    return known;
  }

  /** Looks up what waits. */
  flush(): boolean {
    const { index } = this;
    const text = this.#text;
    const places = this.#places;
    const parts = this.#parts;
    const count = this.#waiting;
    this.#waiting = 0;
    index.entriesOf(text, places, 2 * count, parts);
    for (let i = 0; i < count; ++i) {
      const left = parts[2 * i]!;
      const right = parts[2 * i + 1]!;
      if (left < 0 || right < 0 || !this.#join(text, places, 4 * i)) return false;
      this.pushIds(index.idAt(left), index.idAt(right), index.idAt(this.#entry));
    }
    return true;
  }

  /** Sets the entry that the merge becomes whose places begin at `at`. False: there is none. */
  #join(text: Uint8Array, places: Int32Array, at: number): boolean {
    const { index } = this;
    const start = places[at]!;
    const middle = places[at + 1]!;
    const end = places[at + 3]!;
    let next = places[at + 2]!;
    if (this.#prefix.length > 0 && startsWith(text, next, end, this.#prefix)) next += this.#prefix.length;
    if (index.isJoined(this.#entry, text, start, middle, next, end)) return true;
    if (index.isJoined(++this.#entry, text, start, middle, next, end)) return true;
    const length = middle - start + end - next;
    if (length > this.#joined.length) this.#joined = new Uint8Array(2 * length);
    this.#joined.set(text.subarray(start, middle));
    this.#joined.set(text.subarray(next, end), middle - start);
    this.#entry = index.entryOf(this.#joined, 0, length);
    return this.#entry >= 0;
  }

  /** The merge text[start, end): two tokens with a space between. False as `push`, and for anything else. */
  pushSpelled(text: Uint8Array, start: number, end: number): boolean {
    if (text[start] === version[0] && startsWith(text, start, end, version)) return true;
    const middle = spaceIn(text, start, end);
    if (middle === end || spaceIn(text, middle + 1, end) < end) return false;
    return this.push(text, start, middle, middle + 1, end);
  }

  /** Never waits. */
  pushTexts(left: string, right: string): boolean {
    const text = encoder.encode(left + right);
    const middle = Buffer.byteLength(left);
    return this.push(text, 0, middle, middle, text.length) && this.flush();
  }

  pushIds(left: number, right: number, joined: number): void {
    const at = fields * this.#count++;
    if (at === this.#ids.length) {
      const ids = new Int32Array(2 * at);
      ids.set(this.#ids);
      this.#ids = ids;
    }
    this.#ids[at] = left;
    this.#ids[at + 1] = right;
    this.#ids[at + 2] = joined;
  }

  /** Of all that does not wait. */
  table(): MergeTable {
    return new MergeTable(this.#ids, this.#count, this.#slots);
  }

  /** As the files of vocabularies have it. */
  toJSON(): [left: string, right: string][] {
    const text = (at: number): string => this.index.spelling(this.#ids[at]!)!;
    return Array.from({ length: this.#count }, (_, rank) => [text(fields * rank), text(fields * rank + 1)]);
  }
}

function startsWith(text: Uint8Array, start: number, end: number, wanted: Uint8Array): boolean {
  return end - start >= wanted.length && wanted.every((byte, i) => text[start + i] === byte);
}

/** Where the first space is, or `end`. */
function spaceIn(text: Uint8Array, start: number, end: number): number {
  let at = start;
  while (at < end && text[at] !== space) ++at;
  return at;
}

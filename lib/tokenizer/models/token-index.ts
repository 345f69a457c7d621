/**
 * Token spellings as UTF-8 in one array, with a hash table from spelling to id: nothing for the garbage collector to walk. Each
 * different spelling is an entry, numbered as they came.
 */
import type { Spellings } from './model.js';
import { areSlots } from './slots.js';

/** The greatest id that a token may have. */
export const maxId = 2 ** 31 - 2;

/** One more than the greatest id that a vocabulary of so many tokens may have. Arrays are as long as that. */
export function idLimit(tokens: number): number {
  return Math.min(maxId + 1, 4 * tokens + 2 ** 20);
}

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

/** Four bytes at a time: one after the other they wait for each other's product. */
export function hashOf(source: Uint8Array, start: number, end: number): number {
  let hash = 0x811c9dc5 ^ (end - start);
  let at = start;
  for (; at + 4 <= end; at += 4) {
    const word = source[at]! | (source[at + 1]! << 8) | (source[at + 2]! << 16) | (source[at + 3]! << 24);
    hash = Math.imul(hash ^ word, 0x9e3779b1);
    hash ^= hash >>> 15;
  }
  let rest = 0;
  for (; at < end; ++at) rest = (rest << 8) | source[at]!;
  hash = Math.imul(hash ^ rest, 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}

/** Different spellings in the order they came: that of entry i is bytes[offsets[i], offsets[i + 1]). */
export interface IndexedSpellings extends Spellings {
  /** int32 [entries]. */
  ids: Int32Array;
  /** As many as `TokenIndex.slotCount` says. */
  slots: Int32Array;
}

export class TokenIndex {
  #bytes: Uint8Array;
  /** uint32 [count + 1]. */
  #offsets: Uint32Array;
  /** int32 [count]. */
  #ids: Int32Array;
  /**
   * The low bits (`mask`) of a slot have the entry + 1, the others those of its hash; 0: free. At most half of the slots are
   * taken, so that an entry fits. Four bytes each: a lookup is as fast as the cache that has them.
   */
  #slots: Int32Array;
  #mask: number;
  #count = 0;
  /** The entry of an id, int32 [idEnd]; -1: none. Made when first asked for. */
  #entries: Int32Array | undefined;
  #idEnd: number | undefined;
  /** Whether entry i has the id i. Known with `#idEnd`. */
  #inOrder = false;
  /** Of spellings that are looked up together. */
  #hashes = new Int32Array(0);
  /** A spelling that came as a string. */
  #written = new Uint8Array(256);

  /** `tokens`, `bytes`: how many to expect. */
  constructor(tokens: number, bytes: number) {
    this.#bytes = new Uint8Array(bytes);
    this.#offsets = new Uint32Array(tokens + 1);
    this.#ids = new Int32Array(tokens);
    this.#mask = slotsFor(tokens) - 1;
    this.#slots = new Int32Array(this.#mask + 1);
  }

  /** The index that has these, which it keeps. */
  static of({ bytes, offsets, ids, slots }: IndexedSpellings): TokenIndex {
    const index = new TokenIndex(0, 0);
    index.#bytes = bytes;
    index.#offsets = offsets;
    index.#ids = ids;
    index.#count = ids.length;
    index.#mask = slots.length - 1;
    index.#slots = slots;
    return index;
  }

  static slotCount(tokens: number): number {
    return slotsFor(tokens);
  }

  /** Whether slots may be those of so many tokens: then every search in them ends. */
  static areSlots(slots: Int32Array, tokens: number): boolean {
    return slots.length === slotsFor(tokens) && areSlots(slots, tokens);
  }

  /** What `of` takes, in the order of the ids: then `spellings` are there as they are. Of equal ids the last stays the last. */
  get entries(): IndexedSpellings {
    const order = Int32Array.from({ length: this.#count }, (_, entry) => entry);
    order.sort((a, b) => this.#ids[a]! - this.#ids[b]! || a - b);
    const bytes = new Uint8Array(this.#offsets[this.#count]!);
    const offsets = new Uint32Array(this.#count + 1);
    // There was room for more: then there are too many slots.
    const slots = new Int32Array(slotsFor(this.#count));
    order.forEach((entry, i) => {
      const spelling = this.bytesAt(entry);
      bytes.set(spelling, offsets[i]!);
      offsets[i + 1] = offsets[i]! + spelling.length;
      place(slots, bytes, offsets, i);
    });
    return { bytes, offsets, ids: order.map((entry) => this.#ids[entry]!), slots };
  }

  /** Different spellings. */
  get count(): number {
    return this.#count;
  }

  /** One more than the greatest id. */
  get idEnd(): number {
    if (this.#idEnd === undefined) {
      const ids = this.#ids;
      let end = 0;
      let moved = 0;
      for (let i = 0; i < this.#count; ++i) {
        const id = ids[i]!;
        moved |= id ^ i;
        if (id >= end) end = id + 1;
      }
      this.#idEnd = end;
      this.#inOrder = moved === 0;
    }
    return this.#idEnd;
  }

  /** Of equal spellings the last counts, or, unless it `replaces` the others, the first. */
  add(spelling: string, id: number, replaces = true): void {
    const end = this.#write(spelling);
    this.addBytes(this.#written, 0, end, id, replaces);
  }

  /** The same for the spelling source[start, end). */
  addBytes(source: Uint8Array, start: number, end: number, id: number, replaces = true): void {
    this.#reserve(end - start);
    const hash = hashOf(source, start, end);
    const slot = this.#slotFor(source, start, end, hash);
    let entry = (this.#slots[slot]! & this.#mask) - 1;
    if (entry < 0) {
      entry = this.#count++;
      const from = this.#offsets[entry]!;
      const bytes = this.#bytes;
      for (let i = start, to = from; i < end; ++i, ++to) bytes[to] = source[i]!;
      this.#offsets[entry + 1] = from + end - start;
      this.#slots[slot] = (hash & ~this.#mask) | (entry + 1);
    } else if (!replaces) {
      return;
    }
    this.#ids[entry] = id;
    this.#entries = undefined;
    this.#idEnd = undefined;
  }

  /** The slot of a spelling, or the free one where it belongs. */
  #slotFor(source: Uint8Array, start: number, end: number, hash: number): number {
    const length = end - start;
    const slots = this.#slots;
    const offsets = this.#offsets;
    const bytes = this.#bytes;
    const mask = this.#mask;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const taken = slots[slot]!;
      if (taken === 0) return slot;
      if (((taken ^ hash) & ~mask) !== 0) continue;
      const entry = (taken & mask) - 1;
      const from = offsets[entry]!;
      if (offsets[entry + 1]! - from !== length) continue;
      let same = 0;
      while (same < length && bytes[from + same] === source[start + same]) ++same;
      if (same === length) return slot;
    }
  }

  /** The entry of the spelling source[start, end), or -1. */
  entryOf(source: Uint8Array, start: number, end: number): number {
    return (this.#slots[this.#slotFor(source, start, end, hashOf(source, start, end))]! & this.#mask) - 1;
  }

  /**
   * The entries of many spellings, or -1: that of source[places[2 i], places[2 i + 1]) goes to out[i]. A table is larger than
   * the caches near a core: what one lookup after the other waits for, all of these wait for together.
   */
  entriesOf(source: Uint8Array, places: Int32Array, count: number, out: Int32Array): void {
    const slots = this.#slots;
    const offsets = this.#offsets;
    const bytes = this.#bytes;
    const mask = this.#mask;
    if (this.#hashes.length < count) this.#hashes = new Int32Array(count);
    const hashes = this.#hashes;
    for (let i = 0; i < count; ++i) hashes[i] = hashOf(source, places[2 * i]!, places[2 * i + 1]!);
    // What is read here is likely what the lookups need; they read it again, in the caches.
    for (let i = 0; i < count; ++i) out[i] = slots[hashes[i]! & mask]!;
    for (let i = 0; i < count; ++i) out[i] = offsets[out[i]! & mask]!;
    for (let i = 0; i < count; ++i) out[i] = bytes[out[i]!]!;
    for (let i = 0; i < count; ++i) {
      out[i] = (slots[this.#slotFor(source, places[2 * i]!, places[2 * i + 1]!, hashes[i]!)]! & mask) - 1;
    }
  }

  entryOfText(spelling: string): number {
    const end = this.#write(spelling);
    return this.entryOf(this.#written, 0, end);
  }

  /** Whether the spelling of an entry, which may be none, is source[start, middle) and, behind it, source[next, end). */
  isJoined(
    entry: number,
    source: Uint8Array,
    start: number,
    middle: number,
    next: number,
    end: number,
  ): boolean {
    if (entry >= this.#count) return false;
    const bytes = this.#bytes;
    let at = this.#offsets[entry]!;
    if (this.#offsets[entry + 1]! - at !== middle - start + end - next) return false;
    for (let i = start; i < middle; ++i, ++at) if (bytes[at] !== source[i]) return false;
    for (let i = next; i < end; ++i, ++at) if (bytes[at] !== source[i]) return false;
    return true;
  }

  idAt(entry: number): number {
    return this.#ids[entry]!;
  }

  bytesAt(entry: number): Uint8Array {
    return this.#bytes.subarray(this.#offsets[entry], this.#offsets[entry + 1]);
  }

  textAt(entry: number): string {
    return decoder.decode(this.bytesAt(entry));
  }

  /** The id of the spelling in source[start, end), or -1. */
  findBytes(source: Uint8Array, start: number, end: number): number {
    const entry = this.entryOf(source, start, end);
    return entry < 0 ? -1 : this.#ids[entry]!;
  }

  get(spelling: string): number | undefined {
    const entry = this.entryOfText(spelling);
    return entry < 0 ? undefined : this.#ids[entry]!;
  }

  /** The spelling of an id. Of several the last. */
  spelling(id: number): string | undefined {
    const entry = this.#byId[id] ?? -1;
    return entry < 0 ? undefined : this.textAt(entry);
  }

  spellings(): Spellings {
    const ids = this.idEnd;
    const bytes = this.#bytes;
    if (this.#inOrder) {
      const offsets = this.#offsets.subarray(0, ids + 1);
      return { bytes: bytes.subarray(0, offsets[ids]), offsets };
    }
    const ordered = new Uint8Array(this.#offsets[this.#count]!);
    const offsets = new Uint32Array(ids + 1);
    let length = 0;
    for (let id = 0; id < ids; ++id) {
      const entry = this.#byId[id]!;
      if (entry >= 0) {
        const end = this.#offsets[entry + 1]!;
        for (let i = this.#offsets[entry]!; i < end; ++i) ordered[length++] = bytes[i]!;
      }
      offsets[id + 1] = length;
    }
    return { bytes: ordered.subarray(0, length), offsets };
  }

  get #byId(): Int32Array {
    if (this.#entries === undefined) {
      const entries = new Int32Array(this.idEnd).fill(-1);
      for (let i = 0; i < this.#count; ++i) entries[this.#ids[i]!] = i;
      this.#entries = entries;
    }
    return this.#entries;
  }

  /** Calls with the UTF-8 of every spelling. */
  forEach(each: (bytes: Uint8Array, start: number, end: number, id: number) => void): void {
    for (let i = 0; i < this.#count; ++i)
      each(this.#bytes, this.#offsets[i]!, this.#offsets[i + 1]!, this.#ids[i]!);
  }

  /** As the files of vocabularies have it. */
  toJSON(): Record<string, number> {
    return Object.fromEntries(Array.from({ length: this.#count }, (_, i) => [this.textAt(i), this.#ids[i]!]));
  }

  /** Gives the number of bytes. */
  #write(spelling: string): number {
    if (3 * spelling.length > this.#written.length) this.#written = new Uint8Array(6 * spelling.length);
    return encoder.encodeInto(spelling, this.#written).written;
  }

  /** Room for one more token of so many bytes. */
  #reserve(bytes: number): void {
    const needed = this.#offsets[this.#count]! + bytes;
    if (needed > this.#bytes.length) this.#bytes = grown(this.#bytes, new Uint8Array(2 * needed));
    if (this.#count < this.#ids.length) return;
    const tokens = Math.max(16, 2 * this.#count);
    this.#offsets = grown(this.#offsets, new Uint32Array(tokens + 1));
    this.#ids = grown(this.#ids, new Int32Array(tokens));
    this.#mask = slotsFor(tokens) - 1;
    this.#slots = new Int32Array(this.#mask + 1);
    for (let entry = 0; entry < this.#count; ++entry) {
      place(this.#slots, this.#bytes, this.#offsets, entry);
    }
  }
}

/** Gives a slot to an entry whose spelling no other has. */
function place(slots: Int32Array, bytes: Uint8Array, offsets: Uint32Array, entry: number): void {
  const mask = slots.length - 1;
  const hash = hashOf(bytes, offsets[entry]!, offsets[entry + 1]!);
  let slot = hash & mask;
  while (slots[slot] !== 0) slot = (slot + 1) & mask;
  slots[slot] = (hash & ~mask) | (entry + 1);
}

function grown<T extends Uint8Array | Uint32Array | Int32Array>(from: T, to: T): T {
  to.set(from);
  return to;
}

/** A power of two, at least twice as many. */
function slotsFor(tokens: number): number {
  let slots = 32;
  while (slots < 2 * tokens) slots *= 2;
  return slots;
}

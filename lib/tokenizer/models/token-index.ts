/** Token spellings as UTF-8 in one array, with a hash table from spelling to id: nothing for the garbage collector to walk. */

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

export const hashSeed = 0x811c9dc5 | 0;

/** One more byte: the hash of a spelling is that of its beginning, continued. */
export function hashByte(hash: number, byte: number): number {
  return Math.imul(hash ^ byte, 0x01000193);
}

function slotOf(hash: number, mask: number): number {
  return (hash ^ (hash >>> 15)) & mask;
}

export class TokenIndex {
  #bytes: Uint8Array;
  /** uint32 [count + 1]. */
  #offsets: Uint32Array;
  /** int32 [count]. */
  #ids: Int32Array;
  #hashes: Int32Array;
  /** Entry + 1 by slot, 0: free; at most half of them are taken. */
  #slots: Int32Array;
  #mask: number;
  #count = 0;
  /** The entry of an id, int32; -1: none. Made when first asked for. */
  #entries: Int32Array | undefined;

  /** `tokens`, `bytes`: how many to expect. */
  constructor(tokens: number, bytes: number) {
    this.#bytes = new Uint8Array(bytes);
    this.#offsets = new Uint32Array(tokens + 1);
    this.#ids = new Int32Array(tokens);
    this.#hashes = new Int32Array(tokens);
    this.#mask = slotsFor(tokens) - 1;
    this.#slots = new Int32Array(this.#mask + 1);
  }

  static of(tokens: Iterable<readonly [spelling: string, id: number]>, expected: number): TokenIndex {
    const index = new TokenIndex(expected, 12 * expected);
    for (const [spelling, id] of tokens) index.add(spelling, id);
    return index;
  }

  /** Different spellings. */
  get count(): number {
    return this.#count;
  }

  /** One more than the greatest id. */
  get idEnd(): number {
    let end = 0;
    for (let i = 0; i < this.#count; ++i) end = Math.max(end, this.#ids[i]! + 1);
    return end;
  }

  /** The last of equal spellings counts. */
  add(spelling: string, id: number): void {
    this.#reserve(3 * spelling.length);
    const from = this.#offsets[this.#count]!;
    const { written } = encoder.encodeInto(spelling, this.#bytes.subarray(from));
    let hash = hashSeed;
    for (let i = from; i < from + written; ++i) hash = hashByte(hash, this.#bytes[i]!);
    this.#insert(from, from + written, hash, id);
  }

  /** The spelling lies in `source[start, end)`, with its hash. */
  addBytes(source: Uint8Array, start: number, end: number, hash: number, id: number): void {
    this.#reserve(end - start);
    const from = this.#offsets[this.#count]!;
    const bytes = this.#bytes;
    for (let i = start, to = from; i < end; ++i, ++to) bytes[to] = source[i]!;
    this.#insert(from, from + end - start, hash, id);
  }

  #insert(from: number, to: number, hash: number, id: number): void {
    const known = this.#entryOf(this.#bytes, from, to, hash);
    if (known >= 0) {
      this.#ids[known] = id;
      return;
    }
    const entry = this.#count++;
    this.#offsets[entry + 1] = to;
    this.#ids[entry] = id;
    this.#hashes[entry] = hash;
    let slot = slotOf(hash, this.#mask);
    while (this.#slots[slot] !== 0) slot = (slot + 1) & this.#mask;
    this.#slots[slot] = entry + 1;
  }

  #entryOf(source: Uint8Array, start: number, end: number, hash: number): number {
    const length = end - start;
    const slots = this.#slots;
    const mask = this.#mask;
    for (let slot = slotOf(hash, mask); ; slot = (slot + 1) & mask) {
      const entry = slots[slot]! - 1;
      if (entry < 0) return -1;
      if (this.#hashes[entry] !== hash) continue;
      const from = this.#offsets[entry]!;
      if (this.#offsets[entry + 1]! - from !== length) continue;
      let same = 0;
      while (same < length && this.#bytes[from + same] === source[start + same]) ++same;
      if (same === length) return entry;
    }
  }

  /** The id of the spelling in `source[start, end)`, or -1. */
  find(source: Uint8Array, start: number, end: number, hash: number): number {
    const entry = this.#entryOf(source, start, end, hash);
    return entry < 0 ? -1 : this.#ids[entry]!;
  }

  findBytes(source: Uint8Array, start: number, end: number): number {
    let hash = hashSeed;
    for (let i = start; i < end; ++i) hash = hashByte(hash, source[i]!);
    return this.find(source, start, end, hash);
  }

  get(spelling: string): number | undefined {
    const bytes = encoder.encode(spelling);
    const id = this.findBytes(bytes, 0, bytes.length);
    return id < 0 ? undefined : id;
  }

  /** The spelling of an id. Of several the last. */
  spelling(id: number): string | undefined {
    const range = this.spellingBytes(id);
    return range && decoder.decode(range);
  }

  spellingBytes(id: number): Uint8Array | undefined {
    this.#entries ??= this.#makeEntries();
    const entry = this.#entries[id] ?? -1;
    return entry < 0 ? undefined : this.#bytes.subarray(this.#offsets[entry], this.#offsets[entry + 1]);
  }

  #makeEntries(): Int32Array {
    const entries = new Int32Array(this.idEnd).fill(-1);
    for (let i = 0; i < this.#count; ++i) entries[this.#ids[i]!] = i;
    return entries;
  }

  /** Calls with the UTF-8 of every spelling. */
  forEach(each: (bytes: Uint8Array, start: number, end: number, id: number) => void): void {
    for (let i = 0; i < this.#count; ++i)
      each(this.#bytes, this.#offsets[i]!, this.#offsets[i + 1]!, this.#ids[i]!);
  }

  /** Room for one more token of so many bytes. */
  #reserve(bytes: number): void {
    const needed = this.#offsets[this.#count]! + bytes;
    if (needed > this.#bytes.length) this.#bytes = grown(this.#bytes, new Uint8Array(2 * needed));
    if (this.#count < this.#ids.length) return;
    const tokens = Math.max(16, 2 * this.#count);
    this.#offsets = grown(this.#offsets, new Uint32Array(tokens + 1));
    this.#ids = grown(this.#ids, new Int32Array(tokens));
    this.#hashes = grown(this.#hashes, new Int32Array(tokens));
    this.#mask = slotsFor(tokens) - 1;
    this.#slots = new Int32Array(this.#mask + 1);
    for (let i = 0; i < this.#count; ++i) {
      let slot = slotOf(this.#hashes[i]!, this.#mask);
      while (this.#slots[slot] !== 0) slot = (slot + 1) & this.#mask;
      this.#slots[slot] = i + 1;
    }
  }
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

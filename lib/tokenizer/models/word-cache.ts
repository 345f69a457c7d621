/** Remembers the ids of words by their UTF-16 units, in typed arrays. When it is full it is emptied. */

const longest = 48;
const slotCount = 1 << 16;
const unitCapacity = 1 << 19;
const idCapacity = 1 << 18;
/** Ints of an entry: hash, start of the units, their number, start of the ids, their number. */
const fields = 5;

export class WordCache {
  /** Entry + 1 by slot, int32. */
  readonly #slots = new Int32Array(slotCount);
  readonly #entries = new Int32Array(fields * (slotCount / 2));
  readonly #units = new Uint16Array(unitCapacity);
  readonly ids = new Int32Array(idCapacity);
  #entryCount = 0;
  #unitCount = 0;
  #idCount = 0;
  /** Of the last look-up. */
  #hash = 0;
  /** Of the last hit: `ids[from, to)`. */
  from = 0;
  to = 0;

  static remembers(length: number): boolean {
    return length <= longest;
  }

  /** True: `from` and `to` are set. */
  find(text: string, start: number, end: number): boolean {
    let hash = 0x811c9dc5 | 0;
    for (let i = start; i < end; ++i) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
    this.#hash = hash;
    const slots = this.#slots;
    const entries = this.#entries;
    const length = end - start;
    for (let slot = (hash ^ (hash >>> 16)) & (slotCount - 1); ; slot = (slot + 1) & (slotCount - 1)) {
      const entry = fields * (slots[slot]! - 1);
      if (entry < 0) return false;
      if (entries[entry] !== hash || entries[entry + 2] !== length) continue;
      const at = entries[entry + 1]!;
      let same = 0;
      while (same < length && this.#units[at + same] === text.charCodeAt(start + same)) ++same;
      if (same < length) continue;
      this.from = entries[entry + 3]!;
      this.to = this.from + entries[entry + 4]!;
      return true;
    }
  }

  /** The word of the last look-up, which was not found. */
  remember(text: string, start: number, end: number, ids: Int32Array, from: number, to: number): void {
    const length = end - start;
    if (
      this.#entryCount === slotCount / 2 ||
      this.#unitCount + length > unitCapacity ||
      this.#idCount + to - from > idCapacity
    ) {
      this.#clear();
      if (to - from > idCapacity) return;
    }
    const entry = fields * this.#entryCount++;
    this.#entries[entry] = this.#hash;
    this.#entries[entry + 1] = this.#unitCount;
    this.#entries[entry + 2] = length;
    this.#entries[entry + 3] = this.#idCount;
    this.#entries[entry + 4] = to - from;
    for (let i = start; i < end; ++i) this.#units[this.#unitCount++] = text.charCodeAt(i);
    for (let i = from; i < to; ++i) this.ids[this.#idCount++] = ids[i]!;
    let slot = (this.#hash ^ (this.#hash >>> 16)) & (slotCount - 1);
    while (this.#slots[slot] !== 0) slot = (slot + 1) & (slotCount - 1);
    this.#slots[slot] = this.#entryCount;
  }

  #clear(): void {
    this.#slots.fill(0);
    this.#entryCount = 0;
    this.#unitCount = 0;
    this.#idCount = 0;
  }
}

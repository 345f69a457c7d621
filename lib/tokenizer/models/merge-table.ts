/** The ranked merges of a BPE model: from a pair of ids to its rank and the id that it becomes. */

/** Ints of a slot: left, right, rank + 1 (0: free), id. */
const fields = 4;

/** Merges that are added together: one after the other each waits for its slot to come from memory. */
const batch = 64;

export class MergeTable {
  readonly #slots: Int32Array;
  readonly #mask: number;
  /** Of what was read ahead; it keeps the reading from being left out. */
  #read = 0;

  /** `ids`: left, right and joined by turns, int32 [3 * count], in order of rank. The last of equal pairs counts. */
  constructor(ids: Int32Array, count: number) {
    let slots = 32;
    while (slots < 1.5 * count) slots *= 2;
    this.#mask = slots - 1;
    this.#slots = new Int32Array(fields * slots);
    for (let from = 0; from < count; from += batch) this.#addAll(ids, from, Math.min(from + batch, count));
  }

  #slotOf(left: number, right: number): number {
    const hash = Math.imul(left, 0x9e3779b1 | 0) ^ Math.imul(right, 0x85ebca6b | 0);
    return (hash ^ (hash >>> 15)) & this.#mask;
  }

  #addAll(ids: Int32Array, from: number, to: number): void {
    let read = 0;
    for (let at = 3 * from; at < 3 * to; at += 3)
      read ^= this.#slots[fields * this.#slotOf(ids[at]!, ids[at + 1]!)]!;
    this.#read ^= read;
    for (let rank = from, at = 3 * from; rank < to; ++rank, at += 3) {
      this.#add(ids[at]!, ids[at + 1]!, rank, ids[at + 2]!);
    }
  }

  #add(left: number, right: number, rank: number, id: number): void {
    const slots = this.#slots;
    let slot = this.#slotOf(left, right);
    for (; ; slot = (slot + 1) & this.#mask) {
      const at = fields * slot;
      if (slots[at + 2] !== 0 && !(slots[at] === left && slots[at + 1] === right)) continue;
      slots[at] = left;
      slots[at + 1] = right;
      slots[at + 2] = rank + 1;
      slots[at + 3] = id;
      return;
    }
  }

  /** Where `rank` and `id` find the pair, or -1. */
  find(left: number, right: number): number {
    const slots = this.#slots;
    for (let slot = this.#slotOf(left, right); ; slot = (slot + 1) & this.#mask) {
      const at = fields * slot;
      if (slots[at + 2] === 0) return -1;
      if (slots[at] === left && slots[at + 1] === right) return at;
    }
  }

  rank(at: number): number {
    return this.#slots[at + 2]! - 1;
  }

  id(at: number): number {
    return this.#slots[at + 3]!;
  }
}

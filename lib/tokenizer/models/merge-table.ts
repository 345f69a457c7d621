/** The ranked merges of a BPE model: from a pair of ids to its rank, and from that to the id that the pair becomes. */
import { areSlots } from './slots.js';

/** Ints of a merge. */
const fields = 3;

/** Merges that are added together: one after the other each waits for its slot to come from memory. */
const batch = 64;

function hashOf(left: number, right: number): number {
  const hash = Math.imul(left, 0x9e3779b1 | 0) ^ Math.imul(right, 0x85ebca6b | 0);
  return hash ^ (hash >>> 15);
}

export class MergeTable {
  /** Left, right and joined by turns, in order of rank. */
  readonly #ids: Int32Array;
  /** The low bits (`mask`) of a slot have the rank + 1, the others those of its pair's hash; 0: free. */
  readonly slots: Int32Array;
  readonly #mask: number;
  /** Of what was read ahead; it keeps the reading from being left out. */
  #read = 0;

  /** `ids`: int32 [3 * count], kept. Of equal pairs the last counts. `slots`: those of such a table, or none yet. */
  constructor(ids: Int32Array, count: number, slots?: Int32Array) {
    this.#ids = ids;
    this.slots = slots ?? new Int32Array(MergeTable.slotCount(count));
    this.#mask = this.slots.length - 1;
    if (slots !== undefined) return;
    for (let from = 0; from < count; from += batch) this.#addAll(from, Math.min(from + batch, count));
  }

  static slotCount(merges: number): number {
    let slots = 32;
    while (slots < 1.5 * merges) slots *= 2;
    return slots;
  }

  /** Whether slots may be those of so many merges: then every search in them ends. */
  static areSlots(slots: Int32Array, merges: number): boolean {
    return slots.length === MergeTable.slotCount(merges) && areSlots(slots, merges);
  }

  #addAll(from: number, to: number): void {
    const ids = this.#ids;
    let read = 0;
    for (let at = fields * from; at < fields * to; at += fields)
      read ^= this.slots[hashOf(ids[at]!, ids[at + 1]!) & this.#mask]!;
    this.#read ^= read;
    for (let rank = from; rank < to; ++rank) this.#add(ids[fields * rank]!, ids[fields * rank + 1]!, rank);
  }

  #add(left: number, right: number, rank: number): void {
    const { slots } = this;
    const mask = this.#mask;
    const hash = hashOf(left, right);
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const taken = slots[slot]!;
      if (taken !== 0 && (((taken ^ hash) & ~mask) !== 0 || !this.#is((taken & mask) - 1, left, right)))
        continue;
      slots[slot] = (hash & ~mask) | (rank + 1);
      return;
    }
  }

  #is(rank: number, left: number, right: number): boolean {
    return this.#ids[fields * rank] === left && this.#ids[fields * rank + 1] === right;
  }

  /** The rank of a pair, or -1. */
  find(left: number, right: number): number {
    const { slots } = this;
    const mask = this.#mask;
    const hash = hashOf(left, right);
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const taken = slots[slot]!;
      if (taken === 0) return -1;
      if (((taken ^ hash) & ~mask) !== 0) continue;
      const rank = (taken & mask) - 1;
      if (this.#is(rank, left, right)) return rank;
    }
  }

  /** What the pair of a rank becomes. */
  id(rank: number): number {
    return this.#ids[fields * rank + 2]!;
  }
}

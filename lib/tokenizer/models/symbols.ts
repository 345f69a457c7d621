/**
 * The symbols of one word, merged pair by pair: of all pairs that have a rank the lowest first, and of equal ones the left.
 * Short words are searched; long ones keep their pairs in a heap, so that a word of n symbols takes n log n.
 */
import { checkStopped } from '../work.js';
import type { MergeTable } from './merge-table.js';

const longestSearched = 24;
/** A power of two. */
const mergesBetweenChecks = 2 ** 14;
/** Positions in a key of the heap: rank * positions + position is exact in a double. */
const positions = 2 ** 32;

export class Symbols {
  /** Int32 [count]. */
  ids = new Int32Array(64);
  /** Bytes that each stands for. */
  lengths = new Int32Array(64);
  count = 0;
  /** Ranks of pairs (i, i + 1); -1: none. */
  #pairs = new Int32Array(64);
  #next = new Int32Array(0);
  #previous = new Int32Array(0);
  #heap = new Float64Array(0);
  #heapSize = 0;

  push(id: number, length: number): void {
    if (this.count === this.ids.length) {
      const capacity = 2 * this.count;
      this.ids = grown(this.ids, capacity);
      this.lengths = grown(this.lengths, capacity);
      this.#pairs = new Int32Array(capacity);
    }
    this.ids[this.count] = id;
    this.lengths[this.count++] = length;
  }

  merge(merges: MergeTable): void {
    if (this.count <= longestSearched) this.#mergeBySearch(merges);
    else this.#mergeByHeap(merges);
  }

  #mergeBySearch(merges: MergeTable): void {
    const { ids, lengths } = this;
    const pairs = this.#pairs;
    let count = this.count;
    for (let i = 0; i + 1 < count; ++i) pairs[i] = merges.find(ids[i]!, ids[i + 1]!);
    for (;;) {
      let best = -1;
      let bestRank = 0;
      for (let i = 0; i + 1 < count; ++i) {
        const rank = pairs[i]!;
        if (rank >= 0 && (best < 0 || rank < bestRank)) {
          best = i;
          bestRank = rank;
        }
      }
      if (best < 0) break;
      ids[best] = merges.id(pairs[best]!);
      lengths[best]! += lengths[best + 1]!;
      --count;
      for (let i = best + 1; i < count; ++i) {
        ids[i] = ids[i + 1]!;
        lengths[i] = lengths[i + 1]!;
        pairs[i] = pairs[i + 1]!;
      }
      if (best + 1 < count) pairs[best] = merges.find(ids[best]!, ids[best + 1]!);
      if (best > 0) pairs[best - 1] = merges.find(ids[best - 1]!, ids[best]!);
    }
    this.count = count;
  }

  #mergeByHeap(merges: MergeTable): void {
    this.#reserve();
    const { ids, lengths, count } = this;
    const next = this.#next;
    const previous = this.#previous;
    for (let i = 0; i < count; ++i) {
      next[i] = i + 1;
      previous[i] = i - 1;
      this.#pairs[i] = -1;
      if (i + 1 < count) this.#offer(merges, i, i + 1);
    }
    for (let steps = 1; this.#heapSize > 0; ++steps) {
      if (steps % mergesBetweenChecks === 0) checkStopped();
      const key = this.#pop();
      const at = key % positions;
      const pair = this.#pairs[at]!;
      // The pair at this place is another one by now.
      if (pair !== (key - at) / positions) continue;
      const right = next[at]!;
      ids[at] = merges.id(pair);
      lengths[at]! += lengths[right]!;
      this.#pairs[right] = -1;
      this.#pairs[at] = -1;
      lengths[right] = -1;
      const after = next[right]!;
      next[at] = after;
      if (after < count) {
        previous[after] = at;
        this.#offer(merges, at, after);
      }
      if (previous[at]! >= 0) this.#offer(merges, previous[at]!, at);
    }
    let kept = 0;
    for (let i = 0; i < count; ++i) {
      if (lengths[i]! < 0) continue;
      ids[kept] = ids[i]!;
      lengths[kept++] = lengths[i]!;
    }
    this.count = kept;
  }

  #offer(merges: MergeTable, left: number, right: number): void {
    const pair = merges.find(this.ids[left]!, this.ids[right]!);
    this.#pairs[left] = pair;
    if (pair >= 0) this.#pushKey(pair * positions + left);
  }

  /** Each merge offers two pairs at most, and takes one symbol away. */
  #reserve(): void {
    this.#heapSize = 0;
    if (this.#heap.length >= 3 * this.count) return;
    this.#heap = new Float64Array(3 * this.count);
    this.#next = new Int32Array(this.count);
    this.#previous = new Int32Array(this.count);
  }

  #pushKey(key: number): void {
    const heap = this.#heap;
    let at = this.#heapSize++;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (heap[parent]! <= key) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = key;
  }

  #pop(): number {
    const heap = this.#heap;
    const top = heap[0]!;
    const last = heap[--this.#heapSize]!;
    const size = this.#heapSize;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= size) break;
      if (child + 1 < size && heap[child + 1]! < heap[child]!) ++child;
      if (heap[child]! >= last) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
    return top;
  }
}

function grown(from: Int32Array, capacity: number): Int32Array<ArrayBuffer> {
  const to = new Int32Array(capacity);
  to.set(from);
  return to;
}

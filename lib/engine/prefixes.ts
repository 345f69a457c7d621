/**
 * Sequences that outlive their requests, so that a later prompt with the same beginning starts from them. At most one
 * context's worth of tokens is kept, the least recently used go first; those that belong to a living owner (a session)
 * stay until their pages are needed. Checkpoints (pages.ts) are counted, not their tokens: they share their pages with
 * what they were forked from. With states each kept sequence has one, so that their number is bounded.
 */
import type { NativeModel } from '../native.js';

export interface Prefix {
  sequence: number;
  /** [length] ids that the sequence holds. */
  tokens: Int32Array;
  /** That it was computed with: with another one its keys and values are others. */
  adapter: number;
}

interface Entry extends Prefix {
  isCheckpoint: boolean;
  owner: WeakRef<object> | undefined;
}

/** The first `length` positions of a sequence. */
export interface SharedPrefix {
  sequence: number;
  length: number;
}

interface MostKept {
  tokens: number;
  checkpoints: number;
  /** Checkpoints and all others. */
  sequences: number;
}

/** Sharing less than this is not worth a copied page. */
const MIN_SHARED = 4;

export class PrefixCache {
  /** Least recently used first. */
  #entries: Entry[] = [];
  readonly #most: Readonly<MostKept>;
  readonly #native: Pick<NativeModel, 'freeSequence' | 'shortestPrefix'>;

  constructor(most: Readonly<MostKept>, native: Pick<NativeModel, 'freeSequence' | 'shortestPrefix'>) {
    this.#most = most;
    this.#native = native;
  }

  get sequences(): readonly Prefix[] {
    return this.#entries;
  }

  /** Marks as just used. */
  touch(sequence: number): void {
    const entry = this.#entries.find((e) => e.sequence === sequence);
    if (!entry) return;
    this.#entries = this.#entries.filter((e) => e !== entry);
    this.#entries.push(entry);
  }

  /** Takes over a sequence, and drops what it makes superfluous. */
  keep({ sequence, tokens, adapter }: Prefix, owner: object | undefined): void {
    const shortest = this.#native.shortestPrefix(sequence);
    for (const entry of [...this.#entries]) {
      const sameOwner = owner !== undefined && entry.owner?.deref() === owner;
      const ownerless = entry.owner?.deref() === undefined;
      if (
        sameOwner ||
        (ownerless &&
          entry.adapter === adapter &&
          entry.tokens.length >= shortest &&
          sharedLength(entry.tokens, tokens) === entry.tokens.length)
      )
        this.#drop(entry);
    }
    const isCheckpoint = false;
    this.#entries.push({ sequence, tokens, adapter, isCheckpoint, owner: owner && new WeakRef(owner) });
    this.#trim();
  }

  /** Takes over a checkpoint; of those that are too many the least recently used goes. */
  keepCheckpoint(prefix: Prefix): void {
    this.#entries.push({ ...prefix, isCheckpoint: true, owner: undefined });
    const checkpoints = this.#entries.filter((entry) => entry.isCheckpoint);
    for (const entry of checkpoints.slice(0, -this.#most.checkpoints)) this.#drop(entry);
    this.#trim();
  }

  /** Whether a sequence is kept from which just these tokens can be had. */
  covers(tokens: Int32Array, adapter: number): boolean {
    return this.#entries.some(
      (entry) =>
        entry.adapter === adapter &&
        sharedLength(entry.tokens, tokens) === tokens.length &&
        this.#native.shortestPrefix(entry.sequence) <= tokens.length,
    );
  }

  /** The latest sequence of an owner. */
  ownedBy(owner: object): Prefix | undefined {
    return this.#entries.findLast((entry) => entry.owner?.deref() === owner);
  }

  /** The adapter is gone, and no prompt will name it. */
  forgetAdapter(adapter: number): void {
    for (const entry of this.#entries) if (entry.adapter === adapter) this.#drop(entry);
  }

  /** The owner needs its sequence no longer. */
  disown(owner: object): void {
    for (const entry of this.#entries) if (entry.owner?.deref() === owner) entry.owner = undefined;
    this.#trim();
  }

  /** Frees the sequence that will be missed least, but never `spared`. False when there is none. */
  evict(spared: number | undefined): boolean {
    const others = this.#entries.filter((entry) => entry.sequence !== spared);
    const victim = others.find((entry) => entry.owner?.deref() === undefined) ?? others[0];
    if (victim) this.#drop(victim);
    return victim !== undefined;
  }

  /** The same of those that no living owner has. */
  evictLoose(): boolean {
    const victim = this.#entries.find((entry) => entry.owner?.deref() === undefined);
    if (victim) this.#drop(victim);
    return victim !== undefined;
  }

  /** Gives a sequence away to a request. False when it is not kept here. */
  take(sequence: number): boolean {
    const count = this.#entries.length;
    this.#entries = this.#entries.filter((entry) => entry.sequence !== sequence);
    return this.#entries.length < count;
  }

  #trim(): void {
    const loose = this.#entries.filter((entry) => !entry.isCheckpoint && entry.owner?.deref() === undefined);
    let tokens = loose.reduce((sum, entry) => sum + entry.tokens.length, 0);
    for (const entry of loose) {
      if (tokens <= this.#most.tokens) break;
      tokens -= entry.tokens.length;
      this.#drop(entry);
    }
    while (this.#entries.length > this.#most.sequences) this.evict(undefined);
  }

  #drop(entry: Entry): void {
    this.#entries = this.#entries.filter((e) => e !== entry);
    this.#native.freeSequence(entry.sequence);
  }
}

/**
 * The sequence that shares the most leading tokens with `prompt`; at least one token is left to compute.
 * @param shortest least length that a sequence can be cut to.
 */
export function longestPrefix(
  prompt: Int32Array,
  adapter: number,
  among: Iterable<Prefix>,
  shortest: (sequence: number) => number,
): SharedPrefix | undefined {
  let best: SharedPrefix | undefined;
  for (const { sequence, tokens, adapter: of } of among) {
    if (of !== adapter) continue;
    const length = Math.min(sharedLength(tokens, prompt), prompt.length - 1);
    if (length < MIN_SHARED || length <= (best?.length ?? 0)) continue;
    if (length >= shortest(sequence)) best = { sequence, length };
  }
  return best;
}

function sharedLength(a: Int32Array, b: Int32Array): number {
  const end = Math.min(a.length, b.length);
  let length = 0;
  while (length < end && a[length] === b[length]) length++;
  return length;
}

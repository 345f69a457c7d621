/**
 * Who may hold pages of the cache. A request is let in only when the pages for its longest possible course are there,
 * so no step ever runs out of them; a prefix that another sequence holds counts once.
 */
import type { NativeModel } from '../native.js';
import { longestPrefix, type Prefix, PrefixCache, type SharedPrefix } from './prefixes.js';
import type { Request } from './request.js';

export class Pages {
  readonly #native: NativeModel;
  readonly #pageSize: number;
  readonly #prefixes: PrefixCache;
  readonly #disowned = new WeakSet<object>();

  constructor(native: NativeModel, contextLength: number) {
    this.#native = native;
    this.#pageSize = native.info.kvPageSize;
    this.#prefixes = new PrefixCache(contextLength, (sequence) => native.freeSequence(sequence));
  }

  /** Whether so many positions could be held if nothing else were. */
  canEverHold(positions: number): boolean {
    return this.#pagesFor(positions) * this.#pageSize <= this.#native.info.kvCapacity;
  }

  /** Gives the request a sequence, with the longest known prefix in it; false when pages are short. */
  place(request: Request, active: readonly Request[], now: number): boolean {
    const known = request.tokens.subarray(0, request.length);
    const { reuse, fresh } = request.cache;
    const prefix = reuse && !fresh ? longestPrefix(known, this.#held(active)) : undefined;
    const sharedPages = Math.floor((prefix?.length ?? 0) / this.#pageSize);
    const needed = this.#pagesFor(request.positions) - sharedPages;
    const short = () => needed + this.#promised(active) - this.#freePages();
    if (short() > this.#reclaimable(prefix?.sequence, sharedPages)) return false;
    while (short() > 0) if (!this.#prefixes.evict(prefix?.sequence)) break;
    if (short() <= 0) {
      const sequence = prefix
        ? this.#native.forkSequence(prefix.sequence, prefix.length)
        : this.#native.createSequence();
      if (prefix) this.#prefixes.touch(prefix.sequence);
      request.started(sequence, prefix?.length ?? 0, now);
      return true;
    }
    if (!prefix || !this.#prefixes.take(prefix.sequence)) return false;
    // Only the prefix itself is left to give way: the request takes its sequence over instead of sharing it.
    if (this.#takeOver(prefix, request, active, now)) return true;
    return this.place(request, active, now);
  }

  #takeOver(
    { sequence, length }: SharedPrefix,
    request: Request,
    active: readonly Request[],
    now: number,
  ): boolean {
    // A page that a running request shares would be copied at the first write, so whole pages only.
    const whole = active.length > 0 ? length - (length % this.#pageSize) : length;
    this.#native.truncateSequence(sequence, whole);
    const needed = this.#pagesFor(request.positions) - this.#pagesFor(whole);
    if (whole === 0 || needed + this.#promised(active) > this.#freePages()) {
      this.#native.freeSequence(sequence);
      return false;
    }
    request.started(sequence, whole, now);
    request.inherited = 0;
    return true;
  }

  /** Takes the sequence from a request that is over, and keeps it where it may serve again. */
  release(request: Request, keep: boolean): void {
    const sequence = request.sequence;
    if (sequence === undefined) return;
    request.sequence = undefined;
    const { reuse, owner } = request.cache;
    if (keep && reuse && request.computed > 0) {
      const living = owner && this.#disowned.has(owner) ? undefined : owner;
      this.#prefixes.keep(sequence, request.tokens.slice(0, request.computed), living);
    } else {
      this.#native.freeSequence(sequence);
    }
  }

  /** Takes the pages from a request that will go on later; its tokens are computed again then. */
  suspend(request: Request): void {
    this.release(request, false);
    request.computed = 0;
  }

  /** The owner keeps nothing from now on, nor what its running requests leave behind. */
  disown(owner: object): void {
    this.#disowned.add(owner);
    this.#prefixes.disown(owner);
  }

  /** Sequences to start from: those kept, and what running requests have computed. */
  *#held(active: readonly Request[]): Iterable<Prefix> {
    yield* this.#prefixes.sequences;
    for (const { sequence, tokens, computed, cache } of active) {
      if (sequence !== undefined && cache.reuse) yield { sequence, tokens: tokens.subarray(0, computed) };
    }
  }

  /** Pages that running requests may still take. */
  #promised(active: readonly Request[]): number {
    let pages = 0;
    for (const { positions, computed, inherited } of active) {
      pages += this.#pagesFor(positions) - this.#pagesFor(computed);
      // Its first write copies the page that it begins in.
      if (computed === inherited && computed % this.#pageSize !== 0) pages++;
    }
    return pages;
  }

  /** At most so many pages come free when all that is kept gives way, but for the shared pages of the prefix. */
  #reclaimable(prefix: number | undefined, sharedPages: number): number {
    let pages = 0;
    for (const { sequence, tokens } of this.#prefixes.sequences) {
      pages += this.#pagesFor(tokens.length) - (sequence === prefix ? sharedPages : 0);
    }
    return pages;
  }

  #freePages(): number {
    return Math.floor(this.#native.freePositions() / this.#pageSize);
  }

  #pagesFor(positions: number): number {
    return Math.ceil(positions / this.#pageSize);
  }
}

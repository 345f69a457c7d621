/**
 * Who may hold pages of the cache. A request is let in only when the pages for its longest possible course are there,
 * so no step ever runs out of them; a prefix that another sequence holds counts once.
 */
import type { NativeModel } from '../native.js';
import { longestPrefix, type Prefix, PrefixCache, type SharedPrefix } from './prefixes.js';
import type { Branch, Request } from './request.js';

export class Pages {
  readonly #native: NativeModel;
  readonly #pageSize: number;
  readonly #prefixes: PrefixCache;
  /** A state is that of a sequence's end alone: models with states keep none. */
  readonly #sharesPrefixes: boolean;
  readonly #disowned = new WeakSet<object>();

  constructor(native: NativeModel, contextLength: number) {
    this.#native = native;
    this.#pageSize = native.info.kvPageSize;
    this.#sharesPrefixes = native.info.stateSlots === 0;
    this.#prefixes = new PrefixCache(contextLength, (sequence) => native.freeSequence(sequence));
  }

  /** Positions of the pages that a request will hold at most. */
  mostPositions(request: Request): number {
    const [, ...others] = request.branches;
    return (this.#pagesFor(request.branch.positions) + this.#pagesOfForks(request, others)) * this.#pageSize;
  }

  /**
   * Gives the request a sequence for its first branch that goes on, with the longest known prefix in it, and sees to it
   * that there are pages for the others; false when pages are short.
   */
  place(request: Request, active: readonly Request[], now: number): boolean {
    const [branch, ...others] = request.live;
    const known = branch.tokens.subarray(0, branch.length);
    const { reuse, fresh } = request.cache;
    const prefix =
      this.#sharesPrefixes && reuse && !fresh
        ? longestPrefix(known, request.adapter, this.#held(active))
        : undefined;
    const sharedPages = Math.floor((prefix?.length ?? 0) / this.#pageSize);
    const needed = this.#pagesFor(branch.positions) - sharedPages + this.#pagesOfForks(request, others);
    const short = () => needed + this.#promised(active) - this.#freePages();
    if (short() > this.#reclaimable(prefix?.sequence, sharedPages)) return false;
    while (short() > 0) if (!this.#prefixes.evict(prefix?.sequence)) break;
    if (short() <= 0) {
      const sequence = prefix
        ? this.#native.forkSequence(prefix.sequence, prefix.length)
        : this.#native.createSequence();
      if (prefix) this.#prefixes.touch(prefix.sequence);
      branch.started(sequence, prefix?.length ?? 0);
      request.onStart(branch.computed, now);
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
    const [branch, ...others] = request.live;
    const needed =
      this.#pagesFor(branch.positions) - this.#pagesFor(whole) + this.#pagesOfForks(request, others);
    if (whole === 0 || needed + this.#promised(active) > this.#freePages()) {
      this.#native.freeSequence(sequence);
      return false;
    }
    branch.started(sequence, whole);
    branch.inherited = 0;
    request.onStart(whole, now);
    return true;
  }

  /** What its branches have in common is computed: those that hold nothing yet begin with it. Takes no page. */
  fork(request: Request): void {
    const waiting = request.live.filter((branch) => branch.sequence === undefined);
    if (waiting.length === 0) return;
    const { shared } = request;
    const source = request.branches.find((one) => one.sequence !== undefined && one.computed >= shared);
    if (source?.sequence === undefined) return;
    for (const branch of waiting) branch.started(this.#native.forkSequence(source.sequence, shared), shared);
  }

  /** Takes the sequences from the branches of a request that are over, and keeps them where they may serve again. */
  release(request: Request, keep: boolean): void {
    for (const branch of request.branches)
      if (request.settled || branch.settled) this.#releaseBranch(request, branch, keep);
  }

  #releaseBranch({ cache: { reuse, owner }, adapter }: Request, branch: Branch, keep: boolean): void {
    const { sequence, computed } = branch;
    if (sequence === undefined) return;
    branch.sequence = undefined;
    if (this.#sharesPrefixes && keep && reuse && computed > 0) {
      const living = owner && this.#disowned.has(owner) ? undefined : owner;
      this.#prefixes.keep({ sequence, tokens: branch.tokens.slice(0, computed), adapter }, living);
    } else {
      this.#native.freeSequence(sequence);
    }
  }

  /** Takes the pages from a request that will go on later; its tokens are computed again then. */
  suspend(request: Request): void {
    for (const branch of request.branches) {
      this.#releaseBranch(request, branch, false);
      branch.computed = 0;
    }
  }

  /** The owner keeps nothing from now on, nor what its running requests leave behind. */
  disown(owner: object): void {
    this.#disowned.add(owner);
    this.#prefixes.disown(owner);
  }

  /** Sequences to start from: those kept, and what running requests have computed. */
  *#held(active: readonly Request[]): Iterable<Prefix> {
    yield* this.#prefixes.sequences;
    for (const { branches, cache, adapter } of active) {
      if (!cache.reuse) continue;
      for (const { sequence, tokens, computed } of branches)
        if (sequence !== undefined) yield { sequence, tokens: tokens.subarray(0, computed), adapter };
    }
  }

  /** Pages that running requests may still take. */
  #promised(active: readonly Request[]): number {
    let pages = 0;
    for (const request of active) {
      for (const branch of request.branches) {
        const { sequence, positions, computed, inherited } = branch;
        if (sequence === undefined) {
          if (request.live.includes(branch)) pages += this.#pagesOfForks(request, [branch]);
          continue;
        }
        pages += this.#pagesFor(positions) - this.#pagesFor(computed);
        // Its first write copies the page that it begins in.
        if (computed === inherited && computed % this.#pageSize !== 0) pages++;
      }
    }
    return pages;
  }

  /** Pages of branches that fork from another one: all but those that they share whole. */
  #pagesOfForks({ shared }: Request, branches: readonly Branch[]): number {
    const whole = Math.floor(shared / this.#pageSize);
    return branches.reduce((pages, { positions }) => pages + this.#pagesFor(positions) - whole, 0);
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

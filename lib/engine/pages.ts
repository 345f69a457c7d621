/**
 * Who may hold pages of the cache. A request is let in only when the pages for its longest possible course are there,
 * so no step ever runs out of them; a prefix that another sequence holds counts once.
 *
 * Models whose sequences give pages of a window back, or keep a state that each step overwrites, cannot go on from every
 * earlier length of a sequence: native says from which on (`shortestPrefix`). Of those a checkpoint is kept at multiples
 * of `checkpoints.every` within a prompt (checkpoints.ts): a fork, which is a kept sequence as any other. So a shared
 * prefix is found up to the last multiple before its end at least. With states running sequences have `stateSlots`, two
 * each, and those that are kept `keptStates`, one each: no step runs out of them.
 */
import type { NativeModel } from '../native.js';
import { CheckpointLengths } from './checkpoints.js';
import { rollBack } from './drafting.js';
import { PageTables } from './page-tables.js';
import type { Slice } from './plan.js';
import { longestPrefix, type Prefix, PrefixCache, type SharedPrefix } from './prefixes.js';
import type { Branch, Request } from './request.js';

export class Pages {
  readonly #native: NativeModel;
  readonly #tables: PageTables;
  readonly #pageSize: number;
  readonly #prefixes: PrefixCache;
  readonly #checkpoints: CheckpointLengths;
  /** A model with states may have none for sequences that are over. */
  readonly #sharesPrefixes: boolean;
  readonly #disowned = new WeakSet<object>();

  constructor(native: NativeModel, contextLength: number) {
    this.#native = native;
    this.#tables = new PageTables(native);
    this.#pageSize = native.info.kvPageSize;
    this.#checkpoints = new CheckpointLengths(native.info);
    const {
      stateSlots,
      keptStates,
      checkpoints: { most },
    } = native.info;
    this.#sharesPrefixes = stateSlots === 0 || keptStates > 0;
    const sequences = stateSlots === 0 ? Number.POSITIVE_INFINITY : keptStates;
    this.#prefixes = new PrefixCache({ tokens: contextLength, checkpoints: most, sequences }, native);
  }

  /** Positions that a request needs and that there are, where it can never run. */
  tooMany(request: Request): { needed: number; available: number } | undefined {
    return this.#tables.tooMany(request);
  }

  /**
   * Gives the request a sequence for its first branch that goes on, with the longest known prefix in it, and sees to it
   * that there are pages for the others; false when pages are short.
   */
  place(request: Request, active: readonly Request[], now: number): boolean {
    const prefix = this.#prefixOf(request, active);
    const branch = request.live[0];
    // Takes no page: whether there are enough is asked of the whole.
    const sequence = prefix
      ? this.#native.forkSequence(prefix.sequence, prefix.length)
      : this.#native.createSequence();
    branch.started(sequence, prefix?.length ?? 0);
    const running = [...active, request];
    const hopeless = active.length > 0 && !this.#mayGiveWay(running);
    if (!hopeless && this.#makeRoom(running, () => this.#prefixes.evict(prefix?.sequence))) {
      if (prefix) this.#prefixes.touch(prefix.sequence);
      request.onStart(branch.computed, now);
      return true;
    }
    this.#withdraw(branch);
    if (hopeless || !prefix || !this.#prefixes.take(prefix.sequence)) return false;
    // Only the prefix itself is left to give way: the request takes its sequence over instead of sharing it.
    if (this.#takeOver(prefix, request, active, now)) return true;
    return this.place(request, active, now);
  }

  /** Makes room for a sequence beside the running requests that is freed before their next step; what is kept gives way. */
  makeRoom(positions: number, active: readonly Request[]): boolean {
    while (!this.#tables.hasRoomFor(positions, active)) if (!this.#prefixes.evict(undefined)) return false;
    return true;
  }

  #prefixOf({ live, shared, cache, adapter }: Request, active: readonly Request[]): SharedPrefix | undefined {
    const [branch, ...others] = live;
    if (!this.#sharesPrefixes || !cache.reuse || cache.fresh) return undefined;
    // Others will fork where they part from it, which a longer prefix may not reach back to.
    const known = branch.tokens.subarray(0, others.length > 0 ? shared : branch.length);
    return longestPrefix(known, adapter, this.#held(active), (one) => this.#native.shortestPrefix(one));
  }

  #takeOver(
    { sequence, length }: SharedPrefix,
    request: Request,
    active: readonly Request[],
    now: number,
  ): boolean {
    // A page that a running request shares would be copied at the first write, so whole pages only.
    const whole = active.length > 0 ? length - (length % this.#pageSize) : length;
    if (whole === 0 || whole < this.#native.shortestPrefix(sequence)) {
      this.#native.freeSequence(sequence);
      return false;
    }
    this.#native.truncateSequence(sequence, whole);
    const branch = request.live[0];
    branch.started(sequence, whole);
    branch.inherited = 0;
    if (this.#short([...active, request])) {
      this.#withdraw(branch);
      return false;
    }
    request.onStart(whole, now);
    return true;
  }

  /**
   * Branches go on from others where the request says so. What its branches have in common is computed: those that hold
   * nothing yet begin with it. Takes no page.
   */
  fork(request: Request): void {
    this.#regroup(request);
    const waiting = request.live.filter((branch) => branch.sequence === undefined);
    if (waiting.length === 0) return;
    const { shared } = request;
    const source = request.branches.find((one) => one.sequence !== undefined && one.computed >= shared);
    if (source?.sequence === undefined) return;
    for (const branch of waiting) branch.started(this.#native.forkSequence(source.sequence, shared), shared);
  }

  /** First what nobody goes on from is freed: so the pages that forks copy at their next write are there. */
  #regroup(request: Request): void {
    const { branches, parents } = request;
    if (!parents) return;
    request.parents = undefined;
    const before = branches.map(({ sequence }) => sequence!);
    const { computed } = branches[0];
    for (const [i, sequence] of before.entries()) {
      if (!parents.includes(i)) this.#native.freeSequence(sequence);
    }
    const taken = new Set<number>();
    for (const [i, branch] of branches.entries()) {
      const parent = before[parents[i]];
      if (taken.has(parent)) branch.started(this.#native.forkSequence(parent, computed), computed);
      else branch.sequence = parent;
      taken.add(parent);
    }
  }

  /**
   * After a step, before the next one: keeps checkpoints of the prompts that went on in it, where sequences need them,
   * as far as nobody lacks the pages.
   */
  keepCheckpoints(slices: readonly Slice[], active: readonly Request[]): void {
    for (const { request, branch, count } of slices) {
      if (request.settled || request.interrupted) continue;
      const { computed } = branch;
      for (const length of this.#checkpoints.within(request, computed - count, computed)) {
        this.#keepCheckpoint(request, branch, length, active);
      }
    }
  }

  #keepCheckpoint({ adapter }: Request, branch: Branch, length: number, active: readonly Request[]): void {
    const { sequence, tokens } = branch;
    if (sequence === undefined || this.#short(active)) return;
    const known = tokens.slice(0, length);
    if (this.#prefixes.covers(known, adapter) || length < this.#native.shortestPrefix(sequence)) return;
    this.#prefixes.keepCheckpoint({
      sequence: this.#native.forkSequence(sequence, length),
      tokens: known,
      adapter,
    });
    // What the sequence would have given back stays with the checkpoint.
    this.#makeRoom(active, () => this.#prefixes.evictLoose());
  }

  /** What was drafted wrong leaves the sequences of the running requests. */
  rollBack(active: readonly Request[]): void {
    for (const { live } of active) for (const branch of live) rollBack(this.#native, branch);
  }

  /** Takes the sequences from the branches of a request that are over, and keeps them where they may serve again. */
  release(request: Request, keep: boolean): void {
    for (const branch of request.branches)
      if (request.settled || branch.settled) this.#releaseBranch(request, branch, keep);
  }

  #releaseBranch({ cache: { reuse, owner }, adapter }: Request, branch: Branch, keep: boolean): void {
    rollBack(this.#native, branch);
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
    for (const branch of request.branches) this.#withdraw(branch);
  }

  keptOf(owner: object): Prefix | undefined {
    return this.#prefixes.ownedBy(owner);
  }

  /** Keeps a sequence that no request has computed, where any is kept. */
  adopt(prefix: Prefix, owner: object): void {
    if (this.#sharesPrefixes) this.#prefixes.keep(prefix, owner);
    else this.#native.freeSequence(prefix.sequence);
  }

  /** Nothing is kept that was computed with an adapter. */
  forgetAdapter(adapter: number): void {
    this.#prefixes.forgetAdapter(adapter);
  }

  /** The owner keeps nothing from now on, nor what its running requests leave behind. */
  disown(owner: object): void {
    this.#disowned.add(owner);
    this.#prefixes.disown(owner);
  }

  /** The branch starts later. */
  #withdraw(branch: Branch): void {
    if (branch.sequence !== undefined) this.#native.freeSequence(branch.sequence);
    branch.withdrawn();
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

  /** Whether pages are missing for these requests to run to their ends. */
  #short(running: readonly Request[]): boolean {
    return this.#tables.missing(running).some((pages) => pages > 0);
  }

  /** Whether there are enough when all that is kept gives way, without a take-over. */
  #mayGiveWay(running: readonly Request[]): boolean {
    const kept = this.#tables.ownPages(this.#prefixes.sequences);
    return this.#tables.missing(running).every((pages, i) => pages <= kept[i]);
  }

  #makeRoom(running: readonly Request[], evict: () => boolean): boolean {
    while (this.#short(running)) if (!evict()) return false;
    return true;
  }
}

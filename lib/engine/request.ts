/**
 * What the engine batches: one or several branches, each a list of tokens of which a native sequence holds the first
 * `computed`. A request says which rows it wants of a step and takes them; it knows nothing of other requests, pages or
 * steps.
 */
import { NO_ADAPTER, type StepResult } from '../native.js';
import type { StepCost } from '../speculation/step-cost.js';

/** One row that a request wants of a step. */
export interface WantedRow {
  /** Position of the token after which logits, or whose hidden state, are wanted. */
  position: number;
  /** WANTS_LOGITS, WANTS_HIDDEN or both. Default: logits. */
  wants?: number;
  temperature: number;
  fullLogits: boolean;
  /** Token whose logit is wanted, or -1. */
  target: number;
}

/** How a request uses sequences that are kept after their end. */
export interface CacheUse {
  /** Start from the longest prefix that some sequence holds, and keep this one afterwards. */
  reuse: boolean;
  /** Start from nothing all the same: what is kept afterwards was computed as a whole. */
  fresh?: boolean;
  /** Keeps this owner's latest sequence for as long as the owner lives and pages suffice. */
  owner?: object;
}

/** One course of a request's tokens. */
export class Branch {
  /** [positions + 1] ids, `length` of them valid: the prompt, then what was generated. */
  readonly tokens: Int32Array;
  length: number;
  /** Positions that the native sequence holds. */
  computed = 0;
  /** Positions that were another sequence's: until the first write their last page is that one's too. */
  inherited = 0;
  /** Native id; absent while the branch holds no pages. */
  sequence: number | undefined;
  /** It takes no more steps; its request may go on. */
  settled = false;
  /** Tokens behind `length` that are only drafted: the next step computes them too, and `take` finds out which are right. */
  drafted = 0;
  /** Positions beyond `computed` that the native sequence holds, of drafts that are not known to be right. */
  excess = 0;

  constructor(
    prompt: Int32Array,
    readonly positions: number,
  ) {
    this.tokens = new Int32Array(positions + 1);
    this.tokens.set(prompt);
    this.length = prompt.length;
  }

  /** It holds pages now; `inherited` positions of them came from another sequence. */
  started(sequence: number, inherited: number): void {
    this.sequence = sequence;
    this.computed = inherited;
    this.inherited = inherited;
    this.excess = 0;
  }

  /** It holds none. */
  withdrawn(): void {
    this.sequence = undefined;
    this.computed = 0;
    this.inherited = 0;
    this.excess = 0;
  }
}

export abstract class Request {
  readonly branches: readonly Branch[];
  /** Leading positions that all branches have in common: computed by one of them, from which the others fork. */
  readonly shared: number;
  /** The outcome is certain; the engine has to clean up, and the caller knows it after `emit`. */
  settled = false;
  /**
   * Branch i goes on from what branch parents[i] has computed: `take` says so, and it is done before the next step. All
   * branches hold sequences of one length then.
   */
  parents: readonly number[] | undefined;
  /** [tokens] the type of each token of the prompt, of a model that has them. Absent: all are of the first. */
  readonly types?: Int32Array;
  /** Drafts that a step may check of one of its branches. */
  mostDrafted = 0;
  /** Native was told to stop its sequences in the middle of a step. */
  interrupted = false;

  /**
   * @param prompt at least one id.
   * @param positions most positions that each branch will ever hold.
   * @param adapter what `loadAdapter` gave, or NO_ADAPTER.
   */
  constructor(
    prompt: Int32Array,
    positions: number,
    readonly cache: CacheUse,
    branches = 1,
    readonly adapter = NO_ADAPTER,
  ) {
    this.branches = Array.from({ length: branches }, () => new Branch(prompt, positions));
    this.shared = prompt.length;
  }

  /** The first branch; most requests have no other. */
  get branch(): Branch {
    return this.branches[0];
  }

  /** Those that go on, or will. */
  get live(): Branch[] {
    return this.settled ? [] : this.branches.filter((branch) => !branch.settled);
  }

  /** Nobody reads the output at present: no step until somebody does. */
  abstract readonly paused: boolean;

  /** It takes no step until its drafts are there. */
  get waiting(): boolean {
    return false;
  }

  /** Writes drafts behind a branch's tokens, and returns the chances that they are right up to each of them. */
  propose(_branch: Branch, _cost: StepCost): readonly number[] {
    return [];
  }

  /** Tokens of a branch that are known and not computed yet; at least 1 while it is not settled. */
  remaining(branch: Branch): number {
    return branch.length - branch.computed;
  }

  /** A first branch holds pages now; `cached` positions of them came from another sequence. */
  onStart(_cached: number, _now: number): void {}

  /** Rows wanted when the positions [computed, computed + count) of a branch are appended, ascending. */
  abstract wantedRows(count: number, branch: Branch): WantedRow[];

  /** Takes rows [first, first + count) of the result; the branch's `computed` has been raised already. */
  abstract take(result: StepResult, first: number, count: number, now: number, branch: Branch): void;

  /** Tells the caller what `take` found, where that did not do so itself: it comes when the next step runs. */
  emit(): void {}

  /** Ends with what there is. No effect once settled. */
  abstract abort(): void;

  /** Ends with an error. No effect once settled. */
  abstract fail(error: unknown): void;
}

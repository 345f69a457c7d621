/**
 * What the engine batches: a list of tokens of which the native sequence holds the first `computed`. A request says
 * which rows it wants of a step and takes them; it knows nothing of other requests, pages or steps.
 */
import type { StepResult } from '../native.js';

/** One row that a request wants of a step. */
export interface WantedRow {
  /** Position of the token after which logits are wanted. */
  position: number;
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

export abstract class Request {
  /** [positions + 1] ids, `length` of them valid: the prompt, then what was generated. */
  readonly tokens: Int32Array;
  length: number;
  /** Positions that the native sequence holds. */
  computed = 0;
  /** Positions that were another sequence's: until the first write their last page is that one's too. */
  inherited = 0;
  /** Native id; absent while the request holds no pages. */
  sequence: number | undefined;
  /** The outcome is certain; the engine has to clean up, and the caller knows it after `emit`. */
  settled = false;
  /** Native was told to stop its sequence in the middle of a step. */
  interrupted = false;

  /**
   * @param prompt at least one id.
   * @param positions most positions that the sequence will ever hold.
   */
  constructor(
    prompt: Int32Array,
    readonly positions: number,
    readonly cache: CacheUse,
  ) {
    this.tokens = new Int32Array(positions + 1);
    this.tokens.set(prompt);
    this.length = prompt.length;
  }

  /** Nobody reads the output at present: no step until somebody does. */
  abstract readonly paused: boolean;

  /** Tokens that are known and not computed yet; at least 1 while not settled. */
  get remaining(): number {
    return this.length - this.computed;
  }

  /** It holds pages now; `cached` positions of them came from another sequence. */
  started(sequence: number, cached: number, now: number): void {
    this.sequence = sequence;
    this.computed = cached;
    this.inherited = cached;
    this.onStart(cached, now);
  }

  protected onStart(_cached: number, _now: number): void {}

  /** Rows wanted when the positions [computed, computed + count) are appended, ascending. */
  abstract wantedRows(count: number): WantedRow[];

  /** Takes rows [first, first + count) of the result; `computed` has been raised already. */
  abstract take(result: StepResult, first: number, count: number, now: number): void;

  /** Tells the caller what `take` found, where that did not do so itself: it comes when the next step runs. */
  emit(): void {}

  /** Ends with what there is. No effect once settled. */
  abstract abort(): void;

  /** Ends with an error. No effect once settled. */
  abstract fail(error: unknown): void;
}

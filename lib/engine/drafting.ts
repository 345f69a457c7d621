/**
 * Which drafts a step checks, over all of its requests: those that bring more tokens than their rows cost time, by what
 * steps of different sizes have taken. And the way back: what was drafted wrong leaves the native sequence before its next
 * step.
 */
import type { NativeModel } from '../native.js';
import { StepCost } from '../speculation/step-cost.js';
import type { Slice, StepPlan } from './plan.js';
import type { Branch, Request } from './request.js';

/** Drafts have to be worth so many times what they cost: neither is known well. */
const MARGIN = 1.15;

/** Steps with drafts that tell nothing of what rows cost, after which one has none. */
const MOST_ALIKE = 24;
/** Steps without drafts, after which a few are checked to learn what rows cost: at first; then twice as many each time. */
const FIRST_TRIAL = 16;
const LONGEST_WAIT = 1024;

interface Draft {
  branch: Branch;
  /** That it is right, and all before it. */
  chance: number;
}

export class Drafting {
  readonly #cost = new StepCost();
  readonly #stepTokens: number;
  /** Steps that could have had drafts and had none, and how many of them are too many. */
  #without = 0;
  #trialAfter = FIRST_TRIAL;
  #alike = 0;

  constructor(stepTokens: number) {
    this.#stepTokens = stepTokens;
  }

  /** Says of each branch that can go on how many of its proposed tokens the next step checks. */
  choose(active: readonly Request[]): void {
    let branches = 0;
    const drafts: Draft[] = [];
    for (const request of active) {
      if (request.paused) continue;
      for (const branch of request.live) {
        branch.drafted = 0;
        if (branch.sequence === undefined) continue;
        branches++;
        if (request.mostDrafted === 0 || request.remaining(branch) !== 1) continue;
        for (const chance of request.propose(branch, this.#cost)) drafts.push({ branch, chance });
      }
    }
    if (!this.#cost.known || drafts.length === 0) return;
    this.#alike = this.#cost.sure ? 0 : this.#alike + 1;
    if (this.#alike > MOST_ALIKE) {
      this.#alike = 0;
      return;
    }
    drafts.sort((a, b) => b.chance - a.chance);
    if (this.#take(drafts, branches)) {
      this.#without = 0;
      this.#trialAfter = FIRST_TRIAL;
    } else if (!this.#cost.sure && ++this.#without > this.#trialAfter) {
      for (const { branch } of drafts.slice(0, Math.max(3, branches >> 2))) branch.drafted++;
      this.#without = 0;
      this.#trialAfter = Math.min(2 * this.#trialAfter, LONGEST_WAIT);
    }
  }

  /**
   * Whether there were any that pay.
   * @param drafts the likeliest first; chances fall within a proposal, so none comes before one that it stands on
   */
  #take(drafts: readonly Draft[], branches: number): boolean {
    // Half of a step is left to prompts.
    let room = Math.min(Math.floor(this.#stepTokens / 2), this.#cost.mostRows) - branches;
    let expected = branches;
    let rows = branches;
    for (const { branch, chance } of drafts) {
      const gained = chance * this.#cost.of(rows);
      if (room-- <= 0 || gained < MARGIN * this.#cost.price * expected) break;
      branch.drafted++;
      expected += chance;
      rows++;
    }
    return rows > branches;
  }

  /** Tells how long a step took. */
  record({ promptTokens, batch }: StepPlan, milliseconds: number): void {
    if (promptTokens === 0) this.#cost.record(batch.tokens.length, milliseconds);
  }
}

/** A step has appended a slice's tokens: drafts among them count when they are known to be right. */
export function appended(slice: Slice): void {
  const { branch } = slice;
  slice.count -= branch.drafted;
  branch.computed += slice.count;
  branch.excess = branch.drafted;
}

/** Takes positions of drafts that were not right out of the native sequence. */
export function rollBack(native: NativeModel, branch: Branch): void {
  const { sequence, excess } = branch;
  branch.excess = 0;
  if (sequence === undefined || excess === 0) return;
  // Layers with a window may have given pages back: then it begins anew.
  if (branch.computed < native.shortestPrefix(sequence)) {
    branch.computed = 0;
    branch.inherited = 0;
  }
  native.truncateSequence(sequence, branch.computed);
}

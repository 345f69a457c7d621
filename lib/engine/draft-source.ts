/** Who proposes tokens to follow a text, and what is told to it. */
import type { Acceptance } from '../speculation/acceptance.js';
import type { Proposal } from '../speculation/proposal.js';
import type { StepCost } from '../speculation/step-cost.js';

export interface DraftSource {
  /** How often it is right before anything is known, by class. */
  readonly expected: readonly number[];
  /** It will have a proposal soon, which is worth waiting for. */
  readonly waiting: boolean;
  /** At most `most` tokens to follow tokens[0, length). Tokens that were given before are the same in every call. */
  propose(tokens: Int32Array, length: number, most: number, worth: Worth): Proposal;
  /** Nobody asks any more. */
  end(): void;
}

/** What a source that costs time needs to know to propose only where that pays. */
export interface Worth {
  cost: StepCost;
  acceptance: Acceptance;
}

/** For a text of a prompt and of at most so many positions. */
export type CreateSource = (prompt: Int32Array, positions: number) => DraftSource;

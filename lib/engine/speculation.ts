/**
 * Drafts of one branch: what a source proposes to follow its text, and what of it the model's own choices bear out. Rows of
 * logits are taken one by one, as if each had been a step of its own: the sampler chooses, and while it chooses what was
 * drafted, the next row is that of the same text. So the text is the one that comes without drafts, with the same
 * random numbers, and nothing that follows a text (samplers, rules, structure, parsers) has anything to take back.
 */
import { Acceptance } from '../speculation/acceptance.js';
import { MOST_DRAFTED } from '../speculation/options.js';
import type { Proposal } from '../speculation/proposal.js';
import type { StepCost } from '../speculation/step-cost.js';
import type { StepResult } from '../native.js';
import { DraftedStructure } from '../structure/drafted.js';
import type { CompiledStructure } from '../structure/structure.js';
import {
  type Continuation,
  type ContinuationTask,
  endTokensOf,
  type GeneratedToken,
} from './continuation.js';
import type { DraftSource } from './draft-source.js';
import type { Branch, WantedRow } from './request.js';

/** What no text can go on with need not be checked. */
class DraftFilter {
  readonly #endTokens: ReadonlySet<number>;
  readonly #structure: DraftedStructure | undefined;

  /** @param endTokens behind which no text goes on. */
  constructor(endTokens: ReadonlySet<number>, structure: CompiledStructure | undefined) {
    this.#endTokens = endTokens;
    this.#structure = structure && new DraftedStructure(structure);
  }

  /** How many of these may follow behind each other. */
  fitting(tokens: readonly number[]): number {
    const end = tokens.findIndex((token) => this.#endTokens.has(token));
    const whole = end < 0 ? tokens : tokens.slice(0, end);
    return this.#structure ? this.#structure.fitting(whole) : whole.length;
  }

  /** The text goes on with it. */
  accept(token: number): void {
    this.#structure?.accept(token);
  }
}

const NOTHING: Proposal = { tokens: [], classes: [] };

/** Tokens that steps checked, and those of them that were right. */
export interface SpeculationCounts {
  draftedTokens: number;
  acceptedTokens: number;
}

export class Speculation {
  readonly counts: SpeculationCounts = { draftedTokens: 0, acceptedTokens: 0 };
  readonly #source: DraftSource;
  readonly #filter: DraftFilter;
  readonly #acceptance: Acceptance;
  /** For the next token on, also what no step checks. */
  #proposal = NOTHING;

  /** Undefined where nothing is drafted. @param positions most that the text will have */
  static of(task: ContinuationTask, positions: number): Speculation | undefined {
    return task.drafts && new Speculation(task, task.drafts(task.prompt, positions));
  }

  private constructor(task: ContinuationTask, source: DraftSource) {
    this.#source = source;
    this.#filter = new DraftFilter(endTokensOf(task), task.structure);
    this.#acceptance = new Acceptance(source.expected);
  }

  get waiting(): boolean {
    return this.#source.waiting;
  }

  /** Writes what may follow behind the branch's tokens, and returns the chances that it is right up to each token. */
  propose(branch: Branch, cost: StepCost): readonly number[] {
    const { tokens, length, positions } = branch;
    const worth = { cost, acceptance: this.#acceptance };
    const proposal = this.#source.propose(tokens, length, Math.min(MOST_DRAFTED, positions - length), worth);
    const fitting = this.#filter.fitting(proposal.tokens);
    this.#proposal = {
      tokens: proposal.tokens.slice(0, fitting),
      classes: proposal.classes.slice(0, fitting),
    };
    tokens.set(this.#proposal.tokens, length);
    return this.#acceptance.chances(this.#proposal.classes);
  }

  /** The row after the branch's last token, which is `row`, and after each of its drafts. */
  rows(row: WantedRow, { drafted }: Branch): WantedRow[] {
    return Array.from({ length: drafted + 1 }, (_, i) => ({
      ...row,
      position: row.position + i,
    }));
  }

  /** Takes the rows behind each other for as long as the text goes on as it was drafted. */
  take(continuation: Continuation, branch: Branch, result: StepResult, first: number): GeneratedToken[] {
    const { drafted } = branch;
    const { tokens, classes } = this.#proposal;
    this.#proposal = NOTHING;
    branch.drafted = 0;
    this.counts.draftedTokens += drafted;
    const taken: GeneratedToken[] = [];
    for (let i = 0; i <= drafted; i++) {
      const next = continuation.take(branch, result, first + i);
      if (next) {
        taken.push(next);
        this.#filter.accept(next.token);
      }
      const isRight = next?.token === tokens[i];
      if (i < tokens.length) this.#acceptance.observe(classes[i], next !== undefined && isRight);
      if (next === undefined || i === drafted || !isRight) break;
      this.counts.acceptedTokens++;
      branch.computed++;
      branch.excess--;
      if (continuation.finishReason !== undefined) break;
    }
    return taken;
  }

  end(): void {
    this.#source.end();
  }
}

/** Of several texts; undefined where nothing is drafted. */
export function sumOf(all: readonly Speculation[]): SpeculationCounts | undefined {
  if (all.length === 0) return undefined;
  const sum = { draftedTokens: 0, acceptedTokens: 0 };
  for (const { counts } of all) {
    sum.draftedTokens += counts.draftedTokens;
    sum.acceptedTokens += counts.acceptedTokens;
  }
  return sum;
}

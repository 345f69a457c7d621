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

/** How often tokens that a structure's forced text is spelled with are right: those within it, and the last one of it. */
const FORCED_CHANCES: readonly number[] = [0.85, 0.5];

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

  /** At most `most` tokens of what must follow, if the text is spelled so. */
  forced(most: number): readonly number[] {
    return this.#structure?.forced().slice(0, most) ?? [];
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
  /** Absent: only what the structure forces is drafted, which nobody asked for. */
  readonly #source: DraftSource | undefined;
  readonly #filter: DraftFilter;
  /** Classes of the source, then those of forced text. */
  readonly #acceptance: Acceptance;
  readonly #forcedClass: number;
  /** For the next token on, also what no step checks. */
  #proposal = NOTHING;

  /** Undefined where nothing is drafted. @param positions most that the text will have */
  static of(task: ContinuationTask, positions: number): Speculation | undefined {
    const source = task.drafts?.(task.prompt, positions);
    const forces = task.structure !== undefined && task.draftsForced === true;
    return source || forces ? new Speculation(task, source) : undefined;
  }

  private constructor(task: ContinuationTask, source: DraftSource | undefined) {
    this.#source = source;
    this.#filter = new DraftFilter(endTokensOf(task), task.structure);
    const expected = source?.expected ?? [];
    this.#forcedClass = expected.length;
    this.#acceptance = new Acceptance([...expected, ...FORCED_CHANCES]);
  }

  /** Somebody asked for drafts, and reads how many were right. */
  get isAsked(): boolean {
    return this.#source !== undefined;
  }

  get waiting(): boolean {
    return this.#source?.waiting === true;
  }

  /** Writes what may follow behind the branch's tokens, and returns the chances that it is right up to each token. */
  propose(branch: Branch, cost: StepCost): readonly number[] {
    const { tokens, length, positions } = branch;
    const most = Math.min(MOST_DRAFTED, positions - length);
    const worth = { cost, acceptance: this.#acceptance };
    const proposal = this.#forced(most) ?? this.#source?.propose(tokens, length, most, worth) ?? NOTHING;
    const fitting = this.#filter.fitting(proposal.tokens);
    this.#proposal = {
      tokens: proposal.tokens.slice(0, fitting),
      classes: proposal.classes.slice(0, fitting),
    };
    tokens.set(this.#proposal.tokens, length);
    return this.#acceptance.chances(this.#proposal.classes);
  }

  /** Undefined where several texts may follow. */
  #forced(most: number): Proposal | undefined {
    const tokens = this.#filter.forced(most);
    if (tokens.length === 0) return undefined;
    // What comes behind it may be one token with its end.
    const classes = tokens.map((_, i) => this.#forcedClass + (i === tokens.length - 1 ? 1 : 0));
    return { tokens, classes };
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

  /** The text goes on with what was not taken from a row. */
  follow({ token }: GeneratedToken): void {
    this.#filter.accept(token);
  }

  end(): void {
    this.#source?.end();
  }
}

/** Of several texts; undefined where nobody asked for drafts. */
export function sumOf(all: readonly Speculation[]): SpeculationCounts | undefined {
  if (!all.some(({ isAsked }) => isAsked)) return undefined;
  const sum = { draftedTokens: 0, acceptedTokens: 0 };
  for (const { counts } of all) {
    sum.draftedTokens += counts.draftedTokens;
    sum.acceptedTokens += counts.acceptedTokens;
  }
  return sum;
}

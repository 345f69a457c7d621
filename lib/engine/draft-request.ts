/**
 * A request to the engine of a draft model: it follows a text that another model writes, and says which tokens it expects
 * next, the most probable one each time. Between two questions it rests; what it holds of a text that went on differently
 * leaves its sequence first.
 */
import type { StepResult } from '../native.js';
import { type Branch, Request, type WantedRow } from './request.js';

/** A proposal ends where all of it is less probable than this. */
const LEAST_CHANCE = 0.15;

/** Tokens expected behind tokens[0, length) of a text. */
export interface Expected {
  length: number;
  tokens: number[];
  /** [tokens] what the draft model gives each of them. */
  probabilities: number[];
}

export class DraftRequest extends Request {
  readonly #onAnswer: () => void;
  #expected: Expected | undefined;
  /** Of the question that is being answered. */
  #answer: Expected = { length: 0, tokens: [], probabilities: [] };
  #wanted = 0;
  #chance = 1;
  /** Tokens that are the text's for certain. */
  #followed: number;

  /** @param onAnswer called when `expected` has something new, or never will. */
  constructor(prompt: Int32Array, positions: number, onAnswer: () => void) {
    super(prompt, positions, { reuse: true });
    this.#onAnswer = onAnswer;
    this.#followed = prompt.length;
  }

  get paused(): boolean {
    return this.#wanted === 0;
  }

  /** An answer is being computed and is not far. */
  get near(): boolean {
    const { sequence, length, computed } = this.branch;
    return !this.settled && this.#wanted > 0 && sequence !== undefined && length - computed <= NEAR;
  }

  /** Length of the text of the last question that was taken. */
  get asked(): number {
    return this.#answer.length;
  }

  /** The last answer. */
  get expected(): Expected | undefined {
    return this.#expected;
  }

  /** Asks for `count` tokens to follow tokens[0, length); not while it still answers. False: the text has outgrown it. */
  ask(tokens: Int32Array, length: number, count: number): boolean {
    const { branch } = this;
    if (this.settled || length >= branch.positions) return false;
    // In a step, or about to be.
    if (this.#wanted > 0 && branch.sequence !== undefined) return true;
    let common = Math.min(this.#followed, length);
    while (common < Math.min(length, branch.length) && tokens[common] === branch.tokens[common]) common++;
    branch.tokens.set(tokens.subarray(common, length), common);
    branch.length = length;
    this.#followed = length;
    // The last token is computed again where nothing else is: its row is wanted.
    const valid = Math.min(branch.computed, common, length - 1);
    branch.excess += branch.computed - valid;
    branch.computed = valid;
    this.#wanted = Math.min(count, branch.positions - length);
    this.#chance = 1;
    this.#answer = { length, tokens: [], probabilities: [] };
    return true;
  }

  wantedRows(count: number, branch: Branch): WantedRow[] {
    if (count < this.remaining(branch)) return [];
    return [{ position: branch.length - 1, temperature: 1, fullLogits: false, target: -1 }];
  }

  take(result: StepResult, first: number): void {
    const { branch } = this;
    const best = first * result.candidates;
    const token = result.candidateIds[best];
    const probability = Math.exp(result.candidateLogits[best] - result.logSumExp1[first]);
    branch.tokens[branch.length++] = token;
    this.#answer.tokens.push(token);
    this.#answer.probabilities.push(probability);
    this.#chance *= probability;
    // NaN of a broken model ends it too.
    this.#wanted = this.#chance >= LEAST_CHANCE ? this.#wanted - 1 : 0;
    if (this.#wanted > 0) return;
    this.#expected = this.#answer;
    this.#onAnswer();
  }

  abort(): void {
    this.settled = true;
    this.#wanted = 0;
  }

  /** Nobody has to know: the text comes without drafts as well. */
  fail(): void {
    this.abort();
    this.#onAnswer();
  }
}

/** Tokens that a draft model may lack, for its answer to be near. */
const NEAR = 64;

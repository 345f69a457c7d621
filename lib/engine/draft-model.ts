/**
 * A draft model as a source: which models may draft for which, and when asking one pays. The request that it answers waits
 * for an answer that is near; others go on beside it.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { classOf } from '../speculation/acceptance.js';
import { type DraftOptions, type Speculate, speculateError } from '../speculation/options.js';
import type { Proposal } from '../speculation/proposal.js';
import type { StepCost } from '../speculation/step-cost.js';
import type { Vocabulary } from './continuation.js';
import { DraftRequest, type Expected } from './draft-request.js';
import type { Engine } from './engine.js';
import type { DraftSource, Worth } from './draft-source.js';

/** What drafting needs of a model. */
export interface Drafter {
  engine: Engine;
  vocabulary: Vocabulary;
  contextLength: number;
}

/** Models by their public objects; those that predict no tokens as undefined. */
const drafters = new WeakMap<object, Drafter | undefined>();

/** Lets a model be a draft model. @param predicts it predicts tokens */
export function enlist(model: object, drafter: Drafter, predicts: boolean): void {
  drafters.set(model, predicts ? drafter : undefined);
}

/** Throws INVALID_OPTION for what cannot draft, DISPOSED. */
export function drafterOf(given: DraftOptions): Drafter {
  const drafter = drafters.get(given.draft);
  if (drafter === undefined) throw speculateError(given, 'a draft that is a Model which predicts tokens');
  if (!drafter.engine.rollsBack) throw speculateError(given, 'a draft without layers that have a state');
  drafter.engine.throwIfDisposed();
  return drafter;
}

/** Pairs that were compared. */
const same = new WeakMap<Vocabulary, WeakMap<Vocabulary, boolean>>();
const TOKENS_IN_TURN = 1024;

/** Rejects with INVALID_OPTION where a token is not the same one in both. */
export async function requireSameVocabulary(a: Vocabulary, b: Vocabulary, given: Speculate): Promise<void> {
  const known = same.get(a) ?? new WeakMap<Vocabulary, boolean>();
  same.set(a, known);
  const isSame = a === b || (known.get(b) ?? (await areSame(a, b)));
  known.set(b, isSame);
  if (!isSame) throw speculateError(given, 'a draft with the same vocabulary');
}

/** Rows beyond the last token are padding, of which each model has its own number. */
async function areSame(a: Vocabulary, b: Vocabulary): Promise<boolean> {
  const size = Math.max(a.size, b.size);
  for (let id = 0; id < size; id++) {
    if (id % TOKENS_IN_TURN === TOKENS_IN_TURN - 1) await nextTurn();
    if (textIn(a, id) !== textIn(b, id)) return false;
  }
  return true;
}

function textIn({ size, textOf }: Vocabulary, id: number): string {
  return id < size ? textOf(id) : '';
}

/** Of the probability that the draft model gives a token: upper ends of its classes. */
const CLASS_ENDS: readonly number[] = [0.2, 0.4, 0.6, 0.8, 0.9, 0.97];
const CHANCES: readonly number[] = [0.15, 0.3, 0.5, 0.65, 0.8, 0.9, 0.95];
/** Of a proposed token, before any was seen. */
const EXPECTED_CHANCE = 0.6;
/** What a drafted token is expected to cost, as a part of a step, before any was. */
const EXPECTED_SHARE = 0.35;
/** Weight of the latest proposal in what is known of all. */
const SMOOTHING = 0.2;
/** Asking has to be worth so many times what it costs. */
const MARGIN = 1.05;
/** Tokens of text without drafts where they do not pay, before it is tried again: at first, and at most. */
const FIRST_REST = 8;
const LONGEST_REST = 256;
/** Tokens of such a try. */
const TRIED = 3;

export interface DraftTask {
  drafter: Drafter;
  /** Most tokens of a proposal. */
  most: number;
  prompt: Int32Array;
  /** Most that the text will have. */
  positions: number;
  /** Called when the request that asks may go on. */
  wake(): void;
}

export class DraftModelSource implements DraftSource {
  readonly expected = CHANCES;
  readonly #task: DraftTask;
  readonly #request: DraftRequest;
  /** Of the text at present, and when it was asked about. */
  #length = 0;
  #asked = { length: -1, at: 0, near: false };
  #msPerToken: number | undefined;
  #chance = EXPECTED_CHANCE;
  #restsUntil = 0;
  #rest = FIRST_REST;
  #hasRested = false;
  #isOver: boolean;

  constructor(task: DraftTask) {
    const { drafter, prompt, positions, wake } = task;
    this.#task = task;
    const room = Math.min(positions, drafter.contextLength);
    this.#request = new DraftRequest(prompt.subarray(0, room), room, () => {
      this.#measure();
      wake();
    });
    this.#isOver = !this.#knows(prompt) || prompt.length >= room || !this.#submit();
  }

  get waiting(): boolean {
    return !this.#isOver && this.#asked.length === this.#length && this.#request.near;
  }

  propose(tokens: Int32Array, length: number, most: number, worth: Worth): Proposal {
    const before = this.#length;
    this.#length = length;
    this.#isOver ||= this.#request.settled || !this.#knows(tokens.subarray(before, length));
    if (this.#isOver || most <= 0) return { tokens: [], classes: [] };
    const { expected } = this.#request;
    if (expected?.length === length) return this.#read(expected, most, worth);
    const count = this.#worthwhile(Math.min(most, this.#task.most), worth);
    if (count > 0) this.#ask(tokens, length, count);
    return { tokens: [], classes: [] };
  }

  end(): void {
    this.#isOver = true;
    this.#task.drafter.engine.cancel(this.#request);
  }

  #submit(): boolean {
    try {
      this.#task.drafter.engine.submit(this.#request);
      return true;
    } catch {
      // The draft model is busy, or has no room for the prompt: the text comes without it.
      return false;
    }
  }

  /** Whether the draft model has all these tokens: rows of padding are each model's own. */
  #knows(tokens: Int32Array): boolean {
    const { size } = this.#task.drafter.vocabulary;
    return tokens.every((id) => id < size);
  }

  #ask(tokens: Int32Array, length: number, count: number): void {
    const { engine } = this.#task.drafter;
    if (!this.#request.paused && this.#asked.length === length) return;
    this.#isOver = !this.#request.ask(tokens, length, count);
    if (this.#isOver) return;
    if (this.#request.asked === length) {
      this.#asked = { length, at: performance.now(), near: this.#request.near };
    }
    engine.wake();
  }

  #measure(): void {
    const { expected } = this.#request;
    if (!this.#asked.near || expected?.length !== this.#asked.length) return;
    const ms = (performance.now() - this.#asked.at) / expected.tokens.length;
    this.#msPerToken = smoothed(this.#msPerToken, ms);
  }

  #read({ tokens, probabilities }: Expected, most: number, { acceptance }: Worth): Proposal {
    const classes = probabilities.map((probability) => classOf(probability, CLASS_ENDS));
    const chances = classes.map((one) => acceptance.chance(one));
    this.#chance = smoothed(this.#chance, chances.reduce((sum, chance) => sum + chance, 0) / chances.length);
    return { tokens: tokens.slice(0, most), classes: classes.slice(0, most) };
  }

  /** How many tokens to ask for; 0: none, for a while. */
  #worthwhile(most: number, { cost }: Worth): number {
    if (!cost.known || this.#length < this.#restsUntil) return 0;
    const paying = this.#paying(most, cost);
    if (paying > 0) {
      this.#rest = FIRST_REST;
      this.#hasRested = false;
      return paying;
    }
    this.#hasRested = !this.#hasRested;
    if (!this.#hasRested) return Math.min(most, TRIED);
    this.#restsUntil = this.#length + this.#rest;
    this.#rest = Math.min(2 * this.#rest, LONGEST_REST);
    return 0;
  }

  /** Tokens with which text comes fastest; 0 where it does without any. */
  #paying(most: number, cost: StepCost): number {
    const draftMs = this.#msPerToken ?? EXPECTED_SHARE * cost.of(1);
    let best = MARGIN / cost.of(1);
    let found = 0;
    let expected = 1;
    let chance = 1;
    for (let count = 1; count <= most; count++) {
      chance *= this.#chance;
      expected += chance;
      const rate = expected / (cost.of(1 + count) + count * draftMs);
      if (rate > best) {
        best = rate;
        found = count;
      }
    }
    return found;
  }
}

function smoothed(before: number | undefined, value: number): number {
  return before === undefined ? value : before + SMOOTHING * (value - before);
}

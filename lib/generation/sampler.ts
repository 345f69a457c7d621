/**
 * Chooses the next token of one request from a row of logits. The stages, in this order unless the options give another:
 *   logit bias, repetition penalty, presence and frequency penalties   (they correct the model: first, on logits)
 *   DRY; then what is forbidden: words, repeated n-grams, an early end
 *   top-n-sigma, temperature                                          (before the filters, as Hugging Face does:
 *                                                                      top-p means the mass that is really drawn from)
 *   top-k, top-p, min-p, typical-p, XTC                               (cheap and coarse ones first)
 *   one draw from the renormalised survivors, or the largest logit when the temperature is 0
 * The draw is exact over the whole vocabulary: the 256 candidates are a shortcut, never an approximation.
 */
import { Dry } from './dry.js';
import type { Mirostat } from './entropy.js';
import type { LogitChanges } from './logit-changes.js';
import { MaskedRows } from './masked-row.js';
import { Penalties } from './penalties.js';
import { Random } from './random.js';
import type { LogitRow, SamplingOptions } from './sampling-options.js';
import type { SamplerWatch } from './sampler-watch.js';
import { Shortlist } from './shortlist.js';
import { planStages, type Stage } from './stages.js';
import { StepChanges } from './step-changes.js';
import { ForbiddenSequences, LeastTokens, NoRepeatedNgrams, type TokenRule } from './token-rules.js';
import { TypicalFilter } from './typical.js';

/** Buffers of one vocabulary, shared by the samplers of all its requests: sampling never awaits. */
export class SamplerBuffers {
  readonly list: Shortlist;
  readonly typical: TypicalFilter;
  readonly masked: MaskedRows;

  constructor(readonly vocabSize: number) {
    this.list = new Shortlist(vocabSize);
    this.typical = new TypicalFilter(vocabSize);
    this.masked = new MaskedRows(vocabSize);
  }
}

/** What rules on tokens need of a vocabulary. */
export interface SamplerVocabulary {
  /** Any of these ends the text. */
  endTokens: ReadonlySet<number>;
  /** What one token adds to a text. */
  bytesOf(id: number): Uint8Array;
}

const noVocabulary: SamplerVocabulary = { endTokens: new Set(), bytesOf: () => new Uint8Array() };

export class Sampler {
  readonly #temperature: number;
  readonly #buffers: SamplerBuffers;
  /** Changes of logits: `#rules` where there are rules of a step, else the penalties alone. */
  readonly #penalties: Penalties | undefined;
  readonly #rules: StepChanges | undefined;
  readonly #random: Random;
  readonly #stages: readonly Stage[];
  readonly #names: readonly string[];
  readonly #watch: SamplerWatch | undefined;
  readonly #temperedFirst: boolean;
  readonly #mirostat: Mirostat | undefined;
  /** No stage looks past so many tokens. */
  readonly #limit: number;

  constructor(
    options: SamplingOptions,
    buffers: SamplerBuffers,
    vocabulary = noVocabulary,
    watch?: SamplerWatch,
  ) {
    this.#temperature = options.temperature;
    this.#buffers = buffers;
    this.#penalties = Penalties.create(options, buffers.vocabSize);
    const rules = rulesOf(options, vocabulary);
    this.#rules = rules.length > 0 ? new StepChanges(this.#penalties, rules) : undefined;
    this.#random = new Random(options.seed);
    const plan = planStages(options, buffers.vocabSize, buffers.typical, this.#random);
    this.#stages = plan.stages;
    this.#names = plan.names;
    this.#watch = watch;
    this.#limit = plan.limit;
    this.#temperedFirst = plan.temperedFirst;
    this.#mirostat = plan.mirostat;
  }

  /** Whether rows must come with all their logits, given how many candidates they bring. */
  needsFullRow(candidates: number): boolean {
    if (this.#penalties) return true;
    return this.#limit + (this.#rules?.mostBans ?? 0) > candidates && candidates < this.#buffers.vocabSize;
  }

  /** Tells penalties and rules what the prompt holds. */
  acceptPrompt(tokens: Int32Array): void {
    const changes = this.#rules ?? this.#penalties;
    if (changes) for (const id of tokens) changes.acceptPrompt(id);
  }

  /**
   * The next token; penalties and rules know it from now on. Throws MODEL_FORMAT when the logits are no numbers,
   * INVALID_OPTION when every token is forbidden.
   */
  sample(row: LogitRow): number {
    const list = this.#buffers.list;
    this.#rules?.begin();
    const changes = this.#rules ?? this.#penalties;
    if (this.#temperedFirst) list.load(row, changes, this.#temperature, this.#limit);
    else list.load({ ...row, logSumExp: row.logSumExp1 }, changes, 1, this.#limit);
    if (this.#watch) this.#runWatched(this.#watch, row, changes);
    else for (const stage of this.#stages) stage(list);
    const token = list.n === 1 && list.complete ? list.ids[0] : this.#draw(list);
    this.#watch?.chose(token);
    this.#mirostat?.observe(list, token);
    changes?.acceptGenerated(token);
    return token;
  }

  /** A token that was not sampled: penalties and rules know it from now on. */
  accept(token: number): void {
    (this.#rules ?? this.#penalties)?.acceptGenerated(token);
  }

  /** The stages; the list comes with the changes of logits, and at the temperature where that is the first stage. */
  #runWatched(watch: SamplerWatch, row: LogitRow, changes: LogitChanges | undefined): void {
    const { list } = this.#buffers;
    watch.begin(row);
    const tempered = this.#temperedFirst && this.#temperature !== 0 && this.#temperature !== 1;
    const loaded = [...(changes ? ['penalties'] : []), ...(tempered ? ['temperature'] : [])];
    if (loaded.length > 0) watch.passed(loaded.join(' and '), list);
    for (const [i, stage] of this.#stages.entries()) {
      stage(list);
      watch.passed(this.#names[i]!, list);
    }
  }

  #draw(list: Shortlist): number {
    const uniform = this.#random.uniform();
    this.#watch?.drew(uniform);
    let remaining = uniform * list.total();
    for (let i = 0; i < list.n; i++) {
      remaining -= list.weights[i];
      if (remaining < 0) return list.ids[i];
    }
    return list.complete ? list.lastPossible() : list.drawOutside(remaining);
  }
}

/** What the options forbid, and DRY. */
export function rulesOf({ chain }: SamplingOptions, { endTokens, bytesOf }: SamplerVocabulary): TokenRule[] {
  if (!chain) return [];
  const { dry, order, badSequences, noRepeatNgram, minTokens } = chain;
  const rules: TokenRule[] = [];
  if (dry && order.includes('dry')) rules.push(new Dry(dry, bytesOf));
  if (badSequences.length > 0) rules.push(new ForbiddenSequences(badSequences));
  if (noRepeatNgram > 0) rules.push(new NoRepeatedNgrams(noRepeatNgram));
  if (minTokens > 0 && endTokens.size > 0) rules.push(new LeastTokens(minTokens, endTokens));
  return rules;
}

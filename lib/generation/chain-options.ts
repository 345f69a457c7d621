/**
 * The options of `generate` beyond temperature, filters and penalties: further samplers, their order, and what may not be
 * generated. What does not go together is INVALID_OPTION naming both; nothing is ignored.
 */
import { copyIds, integer, invalidOption, list, number, type Rule, text } from '../given.js';
import type { DryOptions } from './dry.js';
import { CHAIN_STAGES, SAMPLER_NAMES, type SamplerName, SAMPLING_STAGES } from './sampler-names.js';

export interface ChainOptions {
  /** Keep tokens whose logit is at most this many standard deviations of all logits below the largest; 0 (off) to 100. */
  topNSigma?: number;
  /** How often, in [0, 1], the most probable tokens are left out (XTC). Default 0 (off). */
  xtcProbability?: number;
  /** XTC: of the tokens at least this probable only the least probable stays, above 0 and at most 0.5. Default 0.1. */
  xtcThreshold?: number;
  /** The temperature moves by so much down and up with the entropy of the distribution, from 0 (off, the default) to 100. */
  dynatempRange?: number;
  /** The power that the normalised entropy is raised to, above 0 and at most 100. Default 1. */
  dynatempExponent?: number;
  /** 2: Mirostat 2.0 in place of the filters, which holds the surprise of the text near `mirostatTau`. Default 0 (off). */
  mirostat?: 0 | 2;
  /** The surprise aimed at, in bits, above 0 and at most 100. Default 5. */
  mirostatTau?: number;
  /** How fast it is approached, above 0 and at most 1. Default 0.1. */
  mirostatEta?: number;
  /**
   * Which samplers run, in this order; 'penalties' and 'dry' come first. Default: penalties, dry, topNSigma, temperature,
   * topK, topP, minP, typicalP, xtc. The model's own defaults for others are left out.
   */
  samplers?: readonly SamplerName[];
  /** Strength of DRY, the penalty on repeated sequences, from 0 (off, the default) to 100. */
  dryMultiplier?: number;
  /** From 1 to 100: grows the penalty with each further repeated token. Default 1.75. */
  dryBase?: number;
  /** Repetitions up to this many tokens, at least 1, cost nothing but the multiplier at its end. Default 2. */
  dryAllowedLength?: number;
  /** How many of the last tokens DRY looks at; -1: all, 0: none. Default -1. */
  dryPenaltyLastN?: number;
  /** At most 64 texts over which no repetition reaches back. Default: line break, ':', '"', '*'. */
  drySequenceBreakers?: readonly string[];
  /**
   * At most 1024 texts or lists of token ids that are not generated. A text stands for its tokens, with and without a
   * space before it; a sequence may begin in the prompt. Default: none.
   */
  badWords?: readonly (string | Int32Array | readonly number[])[];
  /** End tokens and stop strings wait until the output has so many tokens; at most `maxTokens`. Default 0. */
  minTokens?: number;
  /** No sequence of this many tokens comes a second time, the prompt's included. Default 0 (off). */
  noRepeatNgram?: number;
}

/** What the sampler obeys; absent where a caller gave nothing of it. */
export interface SamplerChain {
  /** Stages that run, in this order; those not named are off. */
  order: readonly SamplerName[];
  topNSigma: number;
  xtcProbability: number;
  xtcThreshold: number;
  dynatempRange: number;
  dynatempExponent: number;
  mirostat: { tau: number; eta: number } | undefined;
  dry: DryOptions | undefined;
  badWords: readonly (string | Int32Array)[];
  /** The ids of `badWords`: of texts once they are encoded. */
  badSequences: readonly Int32Array[];
  minTokens: number;
  noRepeatNgram: number;
}

const above = (most: number): Rule => ({
  fits: (v) => typeof v === 'number' && v > 0 && v <= most,
  allowed: `a number above 0 and at most ${most}`,
});

const isText = (v: unknown) => text.fits(v) && v !== '' && (v as string).isWellFormed();
const isId = (v: unknown) => Number.isInteger(v) && (v as number) >= 0 && (v as number) < 2 ** 31;
const order: Rule = {
  copy: list(text.fits, 0, SAMPLER_NAMES.length, '').copy,
  fits: (v) =>
    Array.isArray(v) &&
    new Set(v).size === v.length &&
    v.every((name) => (SAMPLER_NAMES as readonly unknown[]).includes(name)),
  allowed: `an array of ${SAMPLER_NAMES.map((name) => `'${name}'`).join(', ')}, each at most once`,
};
const badWords: Rule = {
  copy: (v) => (Array.isArray(v) && v.length <= 1024 ? Array.from(v, copyWord) : v),
  fits: (v) =>
    Array.isArray(v) &&
    v.length <= 1024 &&
    v.every((word) => isText(word) || (word instanceof Int32Array && word.length > 0 && word.every(isId))),
  allowed: 'an array of at most 1024 non-empty, well-formed strings or lists of token ids',
};

function copyWord(word: unknown): unknown {
  const ids = copyIds(word);
  if (ids !== undefined || !Array.isArray(word) || word.length > 1024) return ids ?? word;
  const copy = Array.from(word);
  return copy.every(isId) ? Int32Array.from(copy) : copy;
}

export const chainRules = {
  topNSigma: number(0, 100),
  xtcProbability: number(0, 1),
  xtcThreshold: above(0.5),
  dynatempRange: number(0, 100),
  dynatempExponent: above(100),
  mirostat: { fits: (v) => v === 0 || v === 2, allowed: '0 or 2' },
  mirostatTau: above(100),
  mirostatEta: above(1),
  samplers: order,
  dryMultiplier: number(0, 100),
  dryBase: number(1, 100),
  dryAllowedLength: integer(1, 2 ** 24),
  dryPenaltyLastN: integer(-1, 2 ** 24),
  drySequenceBreakers: list(isText, 0, 64, 'an array of at most 64 non-empty, well-formed strings'),
  badWords,
  minTokens: integer(0, Number.MAX_SAFE_INTEGER),
  noRepeatNgram: integer(0, 2 ** 24),
} satisfies Record<keyof ChainOptions, Rule>;

const DEFAULT_BREAKERS = ['\n', ':', '"', '*'];

/** Stages that mirostat leaves: it cuts by itself. */
const BEFORE_MIROSTAT: readonly SamplerName[] = ['penalties', 'dry', 'temperature'];

/** Absent where nothing of it is given. Throws INVALID_OPTION for what cannot be together. */
export function chainOf(given: ChainOptions, vocabSize: number): SamplerChain | undefined {
  if (!(Object.keys(chainRules) as (keyof ChainOptions)[]).some((name) => given[name] !== undefined))
    return undefined;
  const mirostat = given.mirostat === 2;
  if (mirostat && given.samplers)
    throw invalidOption('samplers', given.samplers, 'left out with mirostat 2, which replaces the filters');
  const chain: SamplerChain = {
    order: mirostat ? BEFORE_MIROSTAT : (given.samplers ?? SAMPLER_NAMES),
    topNSigma: given.topNSigma ?? 0,
    xtcProbability: given.xtcProbability ?? 0,
    xtcThreshold: given.xtcThreshold ?? 0.1,
    dynatempRange: given.dynatempRange ?? 0,
    dynatempExponent: given.dynatempExponent ?? 1,
    mirostat: mirostat ? { tau: given.mirostatTau ?? 5, eta: given.mirostatEta ?? 0.1 } : undefined,
    dry: dryOf(given),
    badWords: (given.badWords ?? []) as readonly (string | Int32Array)[],
    badSequences: ((given.badWords ?? []) as readonly unknown[]).filter((word) => word instanceof Int32Array),
    minTokens: given.minTokens ?? 0,
    noRepeatNgram: given.noRepeatNgram ?? 0,
  };
  checkOrder(chain, given);
  checkWords(chain, vocabSize);
  return chain;
}

function dryOf(given: ChainOptions): DryOptions | undefined {
  const { dryMultiplier: multiplier = 0, dryPenaltyLastN: lastN = -1 } = given;
  if (multiplier === 0 || lastN === 0) return undefined;
  return {
    multiplier,
    lastN,
    base: given.dryBase ?? 1.75,
    allowedLength: given.dryAllowedLength ?? 2,
    breakers: given.drySequenceBreakers ?? DEFAULT_BREAKERS,
  };
}

/** Refuses what asks for a stage that does not run. */
function checkOrder({ order: names, mirostat, dynatempRange }: SamplerChain, given: ChainOptions): void {
  const first = names.filter((name) => name === 'penalties' || name === 'dry');
  if (
    names.slice(0, first.length).join() !==
    ['penalties', 'dry'].filter((n) => names.includes(n as SamplerName)).join()
  )
    throw invalidOption(
      'samplers',
      given.samplers,
      "a list that begins with 'penalties' and 'dry', where it has them",
    );
  for (const [stage, options] of [...Object.entries(SAMPLING_STAGES), ...Object.entries(CHAIN_STAGES)]) {
    if (names.includes(stage as SamplerName)) continue;
    for (const [name, neutral] of Object.entries(options)) {
      const value = (given as Readonly<Record<string, unknown>>)[name];
      if (value === undefined || value === neutral) continue;
      throw invalidOption(
        name,
        value,
        mirostat ? 'left out with mirostat 2' : `left out where samplers has no '${stage}'`,
      );
    }
  }
  if (mirostat && dynatempRange > 0)
    throw invalidOption('dynatempRange', dynatempRange, 'left out with mirostat 2');
}

function checkWords({ badWords: words }: SamplerChain, vocabSize: number): void {
  for (const word of words) {
    const wrong = typeof word === 'string' ? undefined : word.find((id) => id >= vocabSize);
    if (wrong !== undefined) throw invalidOption('badWords', wrong, `token ids from 0 to ${vocabSize - 1}`);
  }
}

/** The options of stages that do not run, at values that change nothing. */
export function neutralOptions({ order: names }: SamplerChain): Record<string, number> {
  const off = Object.entries(SAMPLING_STAGES).filter(([stage]) => !names.includes(stage as SamplerName));
  return Object.assign({}, ...off.map(([, options]) => options));
}

/** What needs a draw does not go with greedy decoding. */
export function checkTemperature(chain: SamplerChain, temperature: number): void {
  if (temperature > 0) return;
  const needs = chain.mirostat ? 'mirostat' : chain.xtcProbability > 0 ? 'xtcProbability' : undefined;
  const name = needs ?? (chain.dynatempRange > 0 ? 'dynatempRange' : undefined);
  if (name !== undefined) throw invalidOption('temperature', temperature, `above 0 with ${name}`);
}

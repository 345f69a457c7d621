/**
 * The options of `Model.load` and `generate`, validated once. An unknown or impossible option is INVALID_OPTION, with
 * what was given and what may be given; nothing is ignored.
 */
import {
  type ChainOptions,
  chainOf,
  chainRules,
  checkTemperature,
  neutralOptions,
  type SamplerChain,
} from './generation/chain-options.js';
import type { HookOptions } from './generation/hooks.js';
import {
  asksForSeveral,
  type SearchOptions,
  type SearchSettings,
  searchOf,
  searchRules,
} from './generation/search-options.js';
import type { SamplerWatch } from './generation/sampler-watch.js';
import type { SamplingOptions } from './generation/sampling-options.js';
import { randomSeed } from './generation/random.js';
import {
  boolean,
  callback,
  integer,
  invalidOption,
  list,
  number,
  oneOf,
  parseOptions,
  type Rule,
  signal,
  text,
} from './given.js';
import type { KvDtype } from './native.js';
import { type PromptOptions, promptRules } from './prompt-options.js';
import {
  checkSpeculation,
  type Speculate,
  type SpeculateOptions,
  speculateRules,
} from './speculation/options.js';
import { checkBeside, type ResponseFormat, responseFormatRule } from './structure/response-format.js';
import { type ChatOptions, type ChatSettings, chatRules, chatSettings } from './tools/definitions.js';

export { boolean, integer, invalidOption, number, oneOf, parseOptions, type Rule, signal } from './given.js';

export interface LoadProgress {
  /** 'download' and 'verify' (and 'unpack') while files are fetched, then 'load' while weights are read and packed. */
  phase: 'download' | 'verify' | 'unpack' | 'load';
  /** File name, without its folder. */
  file: string;
  /** Bytes. */
  loaded: number;
  /** Bytes; 0 while unknown. */
  total: number;
}

export interface LoadOptions {
  /** Default 'auto': the best that works here. 'cuda' and 'cuda:N' fail with DEVICE_UNAVAILABLE where they do not. */
  device?: 'auto' | 'cpu' | 'cuda' | `cuda:${number}`;
  /**
   * How many of the model's layers run on the GPU, the last ones; the others stay on the CPU. Default 'auto': as many as
   * fit into its free memory. A number above 0 needs a GPU: DEVICE_UNAVAILABLE without one.
   */
  gpuLayers?: 'auto' | number;
  /** Default 'auto', which is 'int8'. */
  dtype?: 'int8' | 'fp32' | 'auto';
  /**
   * Linears that stay float32 in an INT8 model: 'embed.tokens', 'layers.3.down', 'layers.3' for all of a layer, 'lm_head';
   * 'layers.3.experts.down' for those of all experts, 'layers.3.experts.7' for all of one. `ModelInfo.linears` lists them,
   * `compare` tells which ones are worth it. Default: none.
   */
  keepFp32?: readonly string[];
  /**
   * Of the KV cache. 'fp16' rounds keys and values to binary16 and computes in float32: half of fp32's memory, and those
   * beyond +-65,504 become infinite. Default 'auto': that of `dtype`.
   */
  kvDtype?: KvDtype | 'auto';
  /** Longest sequence in tokens, prompt and output together. Default: 4096, or the model's own limit if that is less. */
  contextLength?: number;
  /**
   * Tokens that all running sequences may hold together; more lets more requests run at once and costs memory.
   * Layers with a window have room for the windows of as many sequences of contextLength.
   * Default: four contexts, but no more than max(contextLength, 4096).
   */
  kvCapacity?: number;
  /**
   * States of sequences in memory, of a model that has layers with a state (LFM2, Qwen3-Next, Qwen3.5): each request that
   * runs takes two, so this limits how many do. Default: as many as 256 MiB hold, from 16 to 128.
   */
  stateSlots?: number;
  /**
   * More of them, for prefixes that later prompts begin with: sequences whose requests are over, and checkpoints within
   * prompts. 0: none are kept, each prompt is computed from its beginning. Default: as many as 128 MiB hold, from 8 to 64.
   */
  keptStates?: number;
  /** Default: KVASIR_THREADS, or one per core that the process may use. */
  threads?: number;
  onProgress?: (progress: LoadProgress) => void;
  /** Aborting rejects `load` with the signal's reason and frees everything. */
  signal?: AbortSignal;
}

export interface GenerateOptions
  extends ChatOptions,
    HookOptions,
    ChainOptions,
    SearchOptions,
    PromptOptions,
    SpeculateOptions {
  /** Most tokens to generate, at least 1. Default 256. The context limits it too. */
  maxTokens?: number;
  /**
   * From 0 (greedy) to 100. Default: the model's own, or else 0, or else 1 if topK, topP, minP, typicalP, topNSigma,
   * xtcProbability, dynatempRange, mirostat, seed or more than one text is given.
   */
  temperature?: number;
  /** Sample from the k most probable tokens only; 0: off. Default: the model's own, or else 0. */
  topK?: number;
  /** Sample from the fewest tokens that have this probability together, in (0, 1]. Default: the model's own, or 1 (off). */
  topP?: number;
  /** Drop tokens less than this many times as probable as the best, in [0, 1]. Default: the model's own, or 0 (off). */
  minP?: number;
  /** Locally typical sampling, in (0, 1]. Default: the model's own, or 1 (off). */
  typicalP?: number;
  /** Above 0; divides positive logits of tokens that occurred. Default: the model's own, or else 1 (off). */
  repetitionPenalty?: number;
  /** From -2 to 2: subtracted from the logits of tokens that the output has. Default 0. */
  presencePenalty?: number;
  /** From -2 to 2: subtracted for each time that the output has the token. Default 0. */
  frequencyPenalty?: number;
  /** Token id to a number from -100 to 100 that is added to its logit. */
  logitBias?: Readonly<Record<number, number>>;
  /** An integer from 0 to 2^53 - 1: the same seed, the same tokens. Default: random. */
  seed?: number;
  /** Strings at which the text ends; they are not part of it. */
  stop?: string | readonly string[];
  /** Go on past the model's end-of-text tokens. Default false. */
  ignoreEos?: boolean;
  /** Report log-probabilities: of each token, and of this many alternatives (0 to 1000). Default: none. */
  logprobs?: number;
  /**
   * What the whole answer must be: JSON of a schema, a text of a regular expression or of a GBNF grammar, one of a few texts.
   * Enforced token by token, and closed before `maxTokens` are used up. See docs/structured-output.md. Default: any text.
   */
  responseFormat?: ResponseFormat;
  /** Aborting ends the run within one step, with what there is and `finishReason: 'abort'`. */
  signal?: AbortSignal;
}

/** What a checkpoint itself says about sampling. */
export interface SamplingDefaults {
  temperature?: number;
  topP?: number;
  topK?: number;
  minP?: number;
  typicalP?: number;
  repetitionPenalty?: number;
}

export interface GenerateSettings {
  sampling: SamplingOptions;
  /** Absent: one text. */
  search: SearchSettings | undefined;
  maxTokens: number;
  stop: string[];
  ignoreEos: boolean;
  /** Alternatives per token; absent: no log-probabilities. */
  logprobs: number | undefined;
  responseFormat: ResponseFormat | undefined;
  speculate: Speculate;
  signal: AbortSignal | undefined;
  chat: ChatSettings;
  hooks: HookOptions;
  prompt: PromptOptions;
  /** Is told how tokens are drawn. Absent: nobody. */
  watch?: SamplerWatch;
}

export const DEFAULT_MAX_TOKENS = 256;
export const DEFAULT_CONTEXT_LENGTH = 4096;
/** More than any model has; what this model has is checked when it is known. */
const MOST_LAYERS = 65536;

const fraction: Rule = {
  fits: (v) => typeof v === 'number' && v > 0 && v <= 1,
  allowed: 'a number above 0 and at most 1',
};
const positive: Rule = {
  fits: (v) => typeof v === 'number' && v > 0 && v <= 1000,
  allowed: 'a number above 0 and at most 1000',
};
export const linearNames = list(text.fits, 0, 2 ** 17, 'an array of names of linears');
export const wellFormed: Rule = {
  fits: (v) => typeof v === 'string' && !hasLoneSurrogate(v),
  allowed: 'a well-formed string',
};
const isText = (v: unknown) => typeof v === 'string' && v.length > 0 && !hasLoneSurrogate(v);
const stops = list(isText, 0, 64, 'a non-empty, well-formed string or an array of at most 64 of them');
const stop: Rule = { ...stops, fits: (v) => isText(v) || stops.fits(v) };
const logitBias: Rule = {
  copy: (v) => (typeof v !== 'object' || v === null || Array.isArray(v) ? v : { ...v }),
  fits: (v) => {
    if (typeof v !== 'object' || v === null || Array.isArray(v)) return false;
    return Object.entries(v).every(
      ([id, bias]) => /^\d+$/.test(id) && typeof bias === 'number' && Math.abs(bias) <= 100,
    );
  },
  allowed: 'an object from token ids to numbers from -100 to 100',
};

/** Where a model runs. */
export const deviceRules = {
  device: {
    fits: (v) => typeof v === 'string' && /^(auto|cpu|cuda(:\d+)?)$/.test(v),
    allowed: "'auto', 'cpu', 'cuda' or 'cuda:<number>'",
  },
  gpuLayers: {
    fits: (v) => v === 'auto' || integer(0, MOST_LAYERS).fits(v),
    allowed: `'auto' or ${integer(0, MOST_LAYERS).allowed}`,
  },
} satisfies Partial<Record<keyof LoadOptions, Rule>>;

const loadRules = {
  ...deviceRules,
  dtype: oneOf('int8', 'fp32', 'auto'),
  keepFp32: linearNames,
  kvDtype: oneOf('int8', 'fp16', 'fp32', 'auto'),
  contextLength: integer(1, 2 ** 24),
  kvCapacity: integer(1, 2 ** 28),
  stateSlots: integer(2, 65536),
  keptStates: integer(0, 65536),
  threads: integer(1, 1024),
  onProgress: callback,
  signal,
} satisfies Record<keyof LoadOptions, Rule>;

export const generateRules = {
  maxTokens: integer(1, Number.MAX_SAFE_INTEGER),
  temperature: number(0, 100),
  topK: integer(0, Number.MAX_SAFE_INTEGER),
  topP: fraction,
  minP: number(0, 1),
  typicalP: fraction,
  repetitionPenalty: positive,
  presencePenalty: number(-2, 2),
  frequencyPenalty: number(-2, 2),
  logitBias,
  seed: integer(0, Number.MAX_SAFE_INTEGER),
  stop,
  ignoreEos: boolean,
  logprobs: integer(0, 1000),
  responseFormat: responseFormatRule,
  signal,
  ...chatRules,
  processLogits: callback,
  guard: callback,
  ...chainRules,
  ...searchRules,
  ...promptRules,
  ...speculateRules,
} satisfies Record<keyof GenerateOptions, Rule>;

/** Checks what the caller gave; defaults that depend on the model are `Model.load`'s. */
export function parseLoadOptions(options: unknown): LoadOptions {
  return parseOptions(loadRules, options, 'Model.load') as LoadOptions;
}

/**
 * Checks what the caller gave and fills in every default: the caller's value, else the checkpoint's, else ours.
 * Throws INVALID_OPTION, also for a logit bias on a token that the vocabulary does not have.
 */
export function parseGenerateOptions(
  options: unknown,
  defaults: SamplingDefaults,
  vocabSize: number,
): GenerateSettings {
  const given = parseOptions(generateRules, options, 'generate') as GenerateOptions;
  checkBeside(given);
  checkSpeculation(given);
  const bias = given.logitBias ?? {};
  for (const id of Object.keys(bias)) {
    if (Number(id) < vocabSize) continue;
    throw invalidOption('logitBias', id, `token ids from 0 to ${vocabSize - 1}`);
  }
  const maxTokens = given.maxTokens ?? DEFAULT_MAX_TOKENS;
  const chain = chainOf(given, vocabSize);
  if (chain && chain.minTokens > maxTokens)
    throw invalidOption('minTokens', chain.minTokens, `at most maxTokens, which is ${maxTokens}`);
  const sampling = chain ? chained(given, defaults, chain) : samplingOf(given, defaults);
  return {
    sampling,
    search: guardedSearch(given, sampling.temperature, vocabSize),
    maxTokens,
    stop: typeof given.stop === 'string' ? [given.stop] : [...(given.stop ?? [])],
    ignoreEos: given.ignoreEos ?? false,
    logprobs: given.logprobs,
    responseFormat: given.responseFormat,
    speculate: given.speculate ?? false,
    signal: given.signal,
    chat: chatSettings(given),
    hooks: { processLogits: given.processLogits, guard: given.guard },
    prompt: { adapter: given.adapter, overflow: given.overflow, answerPrefix: given.answerPrefix },
  };
}

/** Only the stages of the chain are on, whatever the checkpoint says. Throws INVALID_OPTION. */
function chained(given: GenerateOptions, defaults: SamplingDefaults, chain: SamplerChain): SamplingOptions {
  const sampling = { ...samplingOf(given, defaults), ...neutralOptions(chain), chain };
  checkTemperature(chain, sampling.temperature);
  return sampling;
}

/** Only the first text streams through a guard. Throws INVALID_OPTION. */
function guardedSearch(
  given: GenerateOptions,
  temperature: number,
  vocabSize: number,
): SearchSettings | undefined {
  const search = searchOf(given, temperature, vocabSize);
  if (search && given.guard)
    throw invalidOption('guard', given.guard, 'left out where there are several texts');
  return search;
}

function samplingOf(given: GenerateOptions, defaults: SamplingDefaults): SamplingOptions {
  // Greedy would ignore these, so giving one asks for sampling.
  const wantsSampling = [
    ...[given.topK, given.topP, given.minP, given.typicalP, given.seed],
    ...[given.topNSigma, given.xtcProbability, given.dynatempRange, given.mirostat],
    asksForSeveral(given) || undefined,
  ].some((value) => value !== undefined);
  return {
    temperature: given.temperature ?? defaults.temperature ?? (wantsSampling ? 1 : 0),
    topK: given.topK ?? defaults.topK ?? 0,
    topP: given.topP ?? defaults.topP ?? 1,
    minP: given.minP ?? defaults.minP ?? 0,
    typicalP: given.typicalP ?? defaults.typicalP ?? 1,
    repetitionPenalty: given.repetitionPenalty ?? defaults.repetitionPenalty ?? 1,
    presencePenalty: given.presencePenalty ?? 0,
    frequencyPenalty: given.frequencyPenalty ?? 0,
    logitBias: { ...given.logitBias },
    seed: given.seed ?? randomSeed(),
  };
}

/** JavaScript strings may hold half a character; such text has no UTF-8. */
export function hasLoneSurrogate(text: string): boolean {
  return !text.isWellFormed();
}

/** The context of a load: what was asked for, else the default cut to the model. Throws INVALID_OPTION beyond the model. */
export function contextLengthOf({ contextLength }: LoadOptions, maxPositions: number): number {
  const length = contextLength ?? Math.min(DEFAULT_CONTEXT_LENGTH, maxPositions);
  if (length <= maxPositions) return length;
  throw invalidOption('contextLength', length, `an integer from 1 to ${maxPositions} for this model`);
}

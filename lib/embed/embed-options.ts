/** The options of `embed`, validated once. */
import { type Adapter, adapterRule } from '../lora/adapter.js';
import { KvasirError } from '../errors.js';
import {
  boolean,
  integer,
  oneOf,
  parseOptions,
  type Rule,
  signal as signalRule,
  wellFormed,
} from '../options.js';
import type { Dense } from './dense.js';
import { type Pooling, poolings } from './pooling.js';

export interface EmbedProgress {
  /** Texts whose vectors are ready. */
  done: number;
  total: number;
}

export interface EmbedOptions {
  /** Default: what the model's own files say, or else 'mean'. */
  pooling?: Pooling;
  /** Vectors of Euclidean length 1. Default: what the model's own files say, or else true. */
  normalize?: boolean;
  /** Keep so many leading components (before normalising), for models trained so. Default: all. */
  dimensions?: number;
  /** Name of one of the model's own prompts ('query'), or else a text put before each text. Default: the model's own. */
  prompt?: string;
  /**
   * A text longer than the context (or than the model's files say): 'error' (CONTEXT_OVERFLOW), 'truncate' (its beginning counts) or 'chunk' (pieces that
   * overlap by an eighth, their vectors averaged by length). Default 'error'.
   */
  overflow?: 'error' | 'truncate' | 'chunk';
  /** A LoRA adapter that this model has loaded. Default: none. */
  adapter?: Adapter;
  /** Aborting rejects with the signal's reason. */
  signal?: AbortSignal;
  onProgress?: (progress: EmbedProgress) => void;
}

/** What a model's files say about embedding. */
export interface EmbedDefaults {
  pooling: Pooling;
  normalize: boolean;
  /** Texts by name. */
  prompts: Readonly<Record<string, string>>;
  defaultPrompt: string | undefined;
  /** Whether the pooling looks at the prompt's tokens too. */
  includePrompt: boolean;
  /** Tokens of the longest text, special ones included, where that is less than the context. */
  longestText: number | undefined;
  /** Between the pooling and the vector, in this order. */
  dense: readonly Dense[];
  /** Something between the model and its vectors that is not known here: nothing can be embedded. */
  unsupported?: string;
}

export const plainDefaults: EmbedDefaults = {
  pooling: 'mean',
  normalize: true,
  prompts: {},
  defaultPrompt: undefined,
  includePrompt: true,
  longestText: undefined,
  dense: [],
};

export interface EmbedSettings {
  pooling: Pooling;
  normalize: boolean;
  dimensions: number;
  /** '': none. */
  prompt: string;
  includePrompt: boolean;
  longestText: number | undefined;
  dense: readonly Dense[];
  overflow: 'error' | 'truncate' | 'chunk';
  adapter: Adapter | undefined;
  signal: AbortSignal | undefined;
  onProgress: ((progress: EmbedProgress) => void) | undefined;
}

/** Throws INVALID_OPTION, UNSUPPORTED_ARCHITECTURE. */
export function parseEmbedOptions(
  options: unknown,
  defaults: EmbedDefaults,
  hiddenSize: number,
): EmbedSettings {
  const size = defaults.dense.at(-1)?.outFeatures ?? hiddenSize;
  const rules = {
    pooling: oneOf(...poolings),
    normalize: boolean,
    dimensions: integer(1, size),
    prompt: wellFormed,
    overflow: oneOf('error', 'truncate', 'chunk'),
    adapter: adapterRule,
    signal: signalRule,
    onProgress: { fits: (v: unknown) => typeof v === 'function', allowed: 'a function' },
  } satisfies Record<keyof EmbedOptions, Rule>;
  const given = parseOptions(rules, options, 'embed') as EmbedOptions;
  const { prompts, defaultPrompt, unsupported } = defaults;
  if (unsupported !== undefined) {
    throw new KvasirError(
      'UNSUPPORTED_ARCHITECTURE',
      `The model makes its vectors with ${unsupported}, which is not supported.`,
    );
  }
  const name = given.prompt ?? defaultPrompt;
  return {
    pooling: given.pooling ?? defaults.pooling,
    normalize: given.normalize ?? defaults.normalize,
    dimensions: given.dimensions ?? size,
    prompt: name === undefined ? '' : Object.hasOwn(prompts, name) ? prompts[name] : name,
    includePrompt: defaults.includePrompt,
    longestText: defaults.longestText,
    dense: defaults.dense,
    overflow: given.overflow ?? 'error',
    adapter: given.adapter,
    signal: given.signal,
    onProgress: given.onProgress,
  };
}

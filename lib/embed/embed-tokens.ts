/** One vector a token of a text: the hidden states that `embed` pools, and where each token stands. */
import type { Engine } from '../engine/engine.js';
import { overflowError } from '../engine/engine.js';
import { takeHidden } from '../engine/hidden-request.js';
import { boolean, invalidOption, parseOptions, type Rule, signal as signalRule } from '../options.js';
import type { TokensWithOffsets } from '../tokenizer/tokenizer.js';
import { normalize } from './pooling.js';

export interface EmbedTokensOptions {
  /** Vectors of Euclidean length 1, as late interaction (ColBERT) compares them. Default false. */
  normalize?: boolean;
  /** Aborting rejects with the signal's reason. */
  signal?: AbortSignal;
}

export interface TokenEmbeddings {
  /** One [hiddenSize] a token, special ones included. */
  vectors: Float32Array[];
  ids: Int32Array;
  /** Of each token, UTF-16 units of the text from and to; [0, 0] of one that the tokenizer adds around it. */
  offsets: [from: number, to: number][];
}

const rules = { normalize: boolean, signal: signalRule } satisfies Record<keyof EmbedTokensOptions, Rule>;

/** Throws INVALID_OPTION. */
export function parseEmbedTokensOptions(options: unknown): EmbedTokensOptions {
  return parseOptions(rules, options, 'embedTokens') as EmbedTokensOptions;
}

/** Throws CONTEXT_OVERFLOW, INVALID_OPTION for a text without a token, DISPOSED or the signal's reason. */
export async function embedTokensOf(
  engine: Engine,
  { ids, offsets }: TokensWithOffsets,
  contextLength: number,
  { normalize: unit = false, signal }: EmbedTokensOptions,
): Promise<TokenEmbeddings> {
  if (ids.length === 0) throw invalidOption('text', 'without a token', 'a text of at least one token');
  if (ids.length > contextLength)
    throw overflowError(ids.length, contextLength, 'the context', 'contextLength');
  const vectors: Float32Array[] = [];
  const take = (row: Float32Array) => {
    const vector = Float64Array.from(row);
    if (unit) normalize(vector);
    vectors.push(Float32Array.from(vector));
  };
  await takeHidden(engine, { tokens: ids, from: 0, to: ids.length, take, signal });
  const places = vectors.map((_, i): [number, number] => [offsets[2 * i]!, offsets[2 * i + 1]!]);
  return { vectors, ids, offsets: places };
}

/**
 * The vector of a text as the mean of static vectors of its tokens, as model2vec computes it: unknown tokens are left out, and
 * a text without any other is zeros.
 */
import { setMaxListeners } from 'node:events';
import { integer, invalidOption, parseOptions, type Rule, reading, signal as signalRule } from '../given.js';
import type { Tokenizer } from '../tokenizer/tokenizer.js';
import type { WordTable } from './word-table.js';

export interface StaticEmbedOptions {
  /** Tokens of a text that count, from its beginning, unknown ones among them. Default: what the folder says, or else 512. */
  maxTokens?: number;
  /** Aborting rejects with the signal's reason. */
  signal?: AbortSignal;
}

const rules = {
  maxTokens: integer(1, 2 ** 24),
  signal: signalRule,
} satisfies Record<keyof StaticEmbedOptions, Rule>;

/** Texts that the tokenizer has at a time. */
const AT_ONCE = 256;

export interface StaticTexts {
  tokenizer: Tokenizer;
  /** A vector [dimensions] for each token id. */
  table: WordTable;
  /** Left out of texts. */
  unknownId: number | undefined;
  /** Of a text, where a caller does not say. */
  maxTokens: number;
  /** Vectors of length 1. */
  normalize: boolean;
  /** Of the tokens' spellings, in code points: a text is cut to so many times `maxTokens` first. */
  medianLength: number;
}

/** Copies. Throws INVALID_OPTION for what is no text. */
function readTexts(texts: unknown): string[] {
  return reading('texts', () => {
    if (typeof texts !== 'string' && !Array.isArray(texts))
      throw invalidOption('texts', texts, 'a string or an array of strings');
    return Array.from(typeof texts === 'string' ? [texts] : texts, (text: unknown, i) => {
      if (typeof text !== 'string' || !text.isWellFormed())
        throw invalidOption(`texts[${i}]`, text, 'a well-formed string');
      return text;
    });
  });
}

/** One vector [dimensions] a text. Throws INVALID_OPTION, DISPOSED, LIMIT_EXCEEDED or the signal's reason. */
export async function embedStatic(
  source: StaticTexts,
  texts: unknown,
  options: unknown,
): Promise<Float32Array[]> {
  const { maxTokens = source.maxTokens, signal: given } = parseOptions(
    rules,
    options,
    'embed',
  ) as StaticEmbedOptions;
  const copy = readTexts(texts);
  const signal = given && AbortSignal.any([given]);
  if (signal) setMaxListeners(0, signal);
  signal?.throwIfAborted();
  const longest = maxTokens * source.medianLength;
  const vectors: Float32Array[] = [];
  for (let from = 0; from < copy.length; from += AT_ONCE) {
    const part = copy.slice(from, from + AT_ONCE).map((text) => firstCharacters(text, longest));
    const encoded = await Promise.all(
      part.map((text) => source.tokenizer.encodeAsync(text, { addSpecialTokens: false, signal })),
    );
    for (const ids of encoded) vectors.push(meanOf(source, ids, maxTokens));
  }
  return vectors;
}

/** The first `count` code points of a text. */
function firstCharacters(text: string, count: number): string {
  if (text.length <= count) return text;
  let end = 0;
  for (let taken = 0; taken < count && end < text.length; taken++)
    end += text.codePointAt(end)! > 0xffff ? 2 : 1;
  return text.slice(0, end);
}

function meanOf(source: StaticTexts, ids: Int32Array, maxTokens: number): Float32Array {
  const { table, unknownId, normalize } = source;
  const kept = ids.subarray(0, maxTokens).filter((id) => id !== unknownId);
  const sum = new Float64Array(table.dimensions);
  for (const id of kept) {
    const vector = table.vector(id);
    for (let i = 0; i < sum.length; i++) sum[i]! += vector[i]!;
  }
  const length = Math.sqrt(sum.reduce((all, value) => all + value * value, 0));
  const divisor = normalize ? length : kept.length;
  return Float32Array.from(sum, (value) => (divisor === 0 ? 0 : value / divisor));
}

/** Prompts of models that were trained to fill a gap: the text before and after it, between tokens that say so. */
import type { Tokenizer } from '../tokenizer/tokenizer.js';
import type { Call } from './call.js';
import { invalid } from './failure.js';

/** Spellings of the tokens before the prefix, the suffix and the middle, by family. */
const spellings: readonly (readonly [string, string, string])[] = [
  ['<|fim_prefix|>', '<|fim_suffix|>', '<|fim_middle|>'],
  ['<fim_prefix>', '<fim_suffix>', '<fim_middle>'],
  ['<fim-prefix>', '<fim-suffix>', '<fim-middle>'],
  ['<|fim▁begin|>', '<|fim▁hole|>', '<|fim▁end|>'],
  ['<｜fim▁begin｜>', '<｜fim▁hole｜>', '<｜fim▁end｜>'],
];

interface FimTokens {
  before: number;
  hole: number;
  after: number;
}

const known = new WeakMap<Tokenizer, Promise<FimTokens | undefined>>();

/**
 * The first token, what stands before the gap, the second, what stands after it, the third: the order of all of these
 * families. Rejects with a Failure where the vocabulary has no such tokens.
 */
export async function fillPrompt(
  { model: { tokenizer }, signal }: Call,
  prefix: string | Int32Array,
  suffix: string,
): Promise<Int32Array> {
  let tokens = known.get(tokenizer);
  if (tokens === undefined) {
    tokens = fimTokens(tokenizer);
    known.set(tokenizer, tokens);
  }
  const found = await tokens;
  if (found === undefined) {
    throw invalid('The model has no tokens to fill a gap with.', 'suffix', 'unsupported_by_model');
  }
  const encode = (text: string) => tokenizer.encodeAsync(text, { addSpecialTokens: false, signal });
  const [before, after] = [typeof prefix === 'string' ? await encode(prefix) : prefix, await encode(suffix)];
  const begin = await startOf(tokenizer);
  return Int32Array.from([...begin, found.before, ...before, found.hole, ...after, found.after]);
}

async function fimTokens(tokenizer: Tokenizer): Promise<FimTokens | undefined> {
  for (const spelling of spellings) {
    const encoded = await Promise.all(
      spelling.map((text) => tokenizer.encodeAsync(text, { addSpecialTokens: false })),
    );
    if (encoded.some((ids) => ids.length !== 1)) continue;
    const [[before], [hole], [after]] = encoded;
    // An unknown word may be one token too.
    if (new Set([before, hole, after]).size === 3) return { before, hole, after };
  }
  return undefined;
}

/** What the tokenizer puts before a text, such as a beginning-of-text token. */
async function startOf(tokenizer: Tokenizer): Promise<number[]> {
  const around = await tokenizer.encodeAsync('');
  return tokenizer.bosTokenId !== undefined && around[0] === tokenizer.bosTokenId ? [around[0]] : [];
}

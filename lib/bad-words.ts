/** Texts that must not be generated, as the sampler knows them: sequences of token ids. */
import type { SamplingOptions } from './generation/sampling-options.js';
import type { Tokenizer } from './tokenizer/tokenizer.js';

/**
 * Fills in the ids of the forbidden words: a text without and with one space before it, since most vocabularies have a
 * token of their own for a word after a space, and some add that space themselves.
 */
export async function encodeBadWords(
  { chain }: SamplingOptions,
  tokenizer: Tokenizer,
  signal: AbortSignal,
): Promise<void> {
  if (!chain || chain.badWords.length === 0) return;
  const sequences = new Map<string, Int32Array>();
  for (const word of chain.badWords) {
    for (const spelling of typeof word === 'string' ? spellingsOf(word) : [word]) {
      const ids =
        typeof spelling === 'string'
          ? await tokenizer.encodeAsync(spelling, { addSpecialTokens: false, signal })
          : spelling;
      if (ids.length > 0) sequences.set(ids.join(), ids);
    }
  }
  chain.badSequences = [...sequences.values()];
}

function spellingsOf(word: string): string[] {
  const bare = word.replace(/^ +/, '');
  return bare === '' ? [word] : [bare, ` ${bare}`];
}

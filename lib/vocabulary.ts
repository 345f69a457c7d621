/** A tokenizer as the engine sees it. */
import type { Vocabulary } from './engine/generation-request.js';
import type { StructureVocabulary } from './structure/structure.js';
import type { Tokenizer } from './tokenizer/tokenizer.js';

/** @param size rows of the embedding: models pad theirs, so ids may lie beyond the tokenizer's; those have no text. */
export function vocabularyOf(tokenizer: Tokenizer, size: number, endTokens: Iterable<number>): Vocabulary {
  const known = tokenizer.vocabSize;
  return {
    size,
    endTokens: new Set(endTokens),
    textOf: (id) => (id < known ? tokenizer.tokenText(id) : ''),
    bytesOf: (id) => (id < known ? tokenizer.tokenBytes(id) : new Uint8Array()),
    createDecoder: (after) => {
      const decoder = tokenizer.createStreamingDecoder(after < known ? { after } : {});
      return {
        push: (id) => (id < known ? decoder.push(id) : ''),
        unseen: (id) => (id < known && tokenizer.isSpecial(id) ? tokenizer.tokenText(id) : ''),
        flush: () => decoder.flush(),
      };
    },
  };
}

/** A tokenizer as structured output sees it: the bytes of each token. */
export function structureVocabularyOf(
  tokenizer: Tokenizer,
  size: number,
  endTokens: Iterable<number>,
): StructureVocabulary {
  return {
    size,
    known: Math.min(size, tokenizer.vocabSize),
    bytesOf: (id) => tokenizer.ownBytes(id),
    isSpecial: (id) => tokenizer.isSpecial(id),
    textOf: (id) => tokenizer.tokenText(id),
    endTokens: new Set(endTokens),
  };
}

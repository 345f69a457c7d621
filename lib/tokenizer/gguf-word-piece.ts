/** WordPiece vocabularies of GGUF files: there a word begins with U+2581, and what goes on has no mark. */
import type { TokenizerJson } from './definition.js';
import { addedTokens, isSpecial, postProcessor, TokenType, type Vocabulary } from './gguf-metadata.js';
import { TokenIndex } from './models/token-index.js';

export function wordPiece(vocabulary: Vocabulary): TokenizerJson {
  const { tokens, types } = vocabulary;
  const spelled = (token: string, id: number): string => {
    if (isSpecial(vocabulary, id) || types[id] === TokenType.userDefined) return token;
    return token.startsWith('\u2581') ? token.slice(1) : `##${token}`;
  };
  const vocab = new TokenIndex(tokens.length, 8 * tokens.length);
  tokens.texts().forEach((token, id) => {
    vocab.add(spelled(token, id), id, false);
  });
  const unknown = vocabulary.id('unknown') ?? tokens.indexOf('[UNK]');
  const lowercase = vocabulary.flag('normalizer.lowercase', true);
  // What begins a text has the name that files give it: "bos" or "cls".
  const begins = vocabulary.id('bos') ?? vocabulary.id('cls');
  const named: Vocabulary = {
    ...vocabulary,
    flag: (name, fallback) => (name === 'add_bos_token' ? true : vocabulary.flag(name, fallback)),
    id: (name) =>
      name === 'bos' ? begins : (vocabulary.id(name === 'sep' ? 'seperator' : name) ?? vocabulary.id(name)),
  };
  return {
    added_tokens: addedTokens(vocabulary),
    normalizer: {
      type: 'BertNormalizer',
      clean_text: true,
      handle_chinese_chars: true,
      strip_accents: vocabulary.flag('normalizer.strip_accents', lowercase),
      lowercase,
    },
    pre_tokenizer: { type: 'BertPreTokenizer' },
    post_processor: postProcessor(named, true, true, 'sep'),
    decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
    model: {
      type: 'WordPiece',
      vocab,
      unk_token: unknown >= 0 ? tokens.text(unknown) : '[UNK]',
      continuing_subword_prefix: '##',
      max_input_chars_per_word: 100,
    },
  };
}

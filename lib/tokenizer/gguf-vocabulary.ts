/**
 * Builds a tokenizer definition from the vocabulary in GGUF metadata: byte-level BPE and its plain kin, SentencePiece's BPE and
 * Unigram, WordPiece. Refuses RWKV's, PLaMo's and the DNA vocabularies by name.
 */
import { KvasirError } from '../errors.js';
import {
  type Component,
  type NamedTemplate,
  splitIsolated,
  type TokenizerDefinition,
  type TokenizerJson,
} from './definition.js';
import {
  addedTokens,
  postProcessor,
  readVocabulary,
  strings,
  type Vocabulary,
  type VocabularyMetadata,
} from './gguf-metadata.js';
import { type PreTokenizerKind, preTokenizerKind } from './gguf-pre-tokenizers.js';
import { sentencePiece, unigram } from './gguf-sentencepiece.js';
import { wordPiece } from './gguf-word-piece.js';
import { MergeList } from './models/merge-list.js';
import type { TokenIndex } from './models/token-index.js';
import type { TokenList } from './token-list.js';

export type { VocabularyMetadata } from './gguf-metadata.js';

const space = '\u2581';

function preTokenizer({ patterns, plain, words }: PreTokenizerKind): Component | null {
  if (words) return { type: 'WhitespaceSplit' };
  const bytes = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false };
  const stages = [...patterns.map(splitIsolated), ...(plain ? [] : [bytes])];
  return { type: 'Sequence', pretokenizers: stages };
}

function normalizer(kind: PreTokenizerKind, vocabulary: Vocabulary): Component | null {
  if (kind.words) return vocabulary.flag('normalizer.lowercase', false) ? { type: 'Lowercase' } : null;
  if (kind.plain) return { type: 'Replace', pattern: { String: ' ' }, content: space };
  return kind.normalizer ?? null;
}

const plainDecoder: Component = {
  type: 'Sequence',
  decoders: [
    { type: 'Replace', pattern: { String: space }, content: ' ' },
    { type: 'ByteFallback' },
    { type: 'Fuse' },
  ],
};

/** As they are, where one of them is wrong: the model knows how to say it. */
function readMerges(merges: TokenList, vocab: TokenIndex): MergeList | string[] {
  const list = new MergeList(vocab, '', merges.length);
  for (let i = 0; i < merges.length; ++i) {
    if (!list.pushSpelled(merges.bytes, merges.offsets[i]!, merges.offsets[i + 1]!)) return merges.texts();
  }
  return list.flush() ? list : merges.texts();
}

/** Some converters of old wrote none for byte-level BPE. */
function mergesOf({ source, has }: Vocabulary, model: string): TokenList {
  if (has('merges')) return strings(source, 'tokenizer.ggml.merges');
  throw new KvasirError(
    'MODEL_FORMAT',
    `The GGUF file has no merges (tokenizer.ggml.merges), without which a vocabulary of the kind "${model}" (BPE) cannot split texts. Convert the model again with a current converter, or load its safetensors folder.`,
  );
}

function bpe(vocabulary: Vocabulary, model: string): TokenizerJson {
  const name = model === 'gpt2' ? (vocabulary.text('pre') ?? 'default') : model;
  const kind = preTokenizerKind(name);
  const unknown = vocabulary.id('unknown');
  const vocab = vocabulary.tokens.index();
  return {
    added_tokens: addedTokens(vocabulary),
    normalizer: normalizer(kind, vocabulary),
    pre_tokenizer: preTokenizer(kind),
    post_processor: postProcessor(vocabulary, kind.addsBos === true, false),
    decoder: kind.plain ? plainDecoder : { type: 'ByteLevel' },
    model: {
      type: 'BPE',
      vocab,
      merges: readMerges(mergesOf(vocabulary, model), vocab),
      ignore_merges: kind.ignoresMerges === true,
      ...(kind.plain
        ? {
            byte_fallback: true,
            fuse_unk: true,
            unk_token: unknown === undefined ? null : vocabulary.tokens.text(unknown),
          }
        : {}),
    },
  };
}

function readJson(vocabulary: Vocabulary): TokenizerJson {
  const model = vocabulary.text('model');
  switch (model) {
    case 'gpt2':
    case 'gemma4':
    case 'whitespace':
      return bpe(vocabulary, model);
    case 'llama':
      return sentencePiece(vocabulary);
    case 't5':
      return unigram(vocabulary);
    case 'bert':
      return wordPiece(vocabulary);
    default:
      throw new KvasirError(
        'UNSUPPORTED_ARCHITECTURE',
        `The GGUF file has a vocabulary of the kind "${model}"; supported are gpt2 (byte-level BPE), gemma4 and whitespace (BPE), llama (SentencePiece), t5 (Unigram) and bert (WordPiece).`,
      );
  }
}

/** `tokenizer.chat_template` and `tokenizer.chat_template.NAME`. */
function chatTemplates(metadata: VocabularyMetadata['metadata']): NamedTemplate[] {
  const key = 'tokenizer.chat_template';
  return Object.entries(metadata).flatMap(([name, template]) => {
    if (typeof template !== 'string' || !(name === key || name.startsWith(`${key}.`))) return [];
    return { name: name === key ? 'default' : name.slice(key.length + 1), template };
  });
}

/** Throws MODEL_FORMAT for a damaged vocabulary, UNSUPPORTED_ARCHITECTURE for a kind that is not there. */
export function definitionFromGguf(source: VocabularyMetadata): TokenizerDefinition {
  const vocabulary = readVocabulary(source);
  const named = (name: string): string | undefined => {
    const id = vocabulary.id(name);
    return id === undefined ? undefined : vocabulary.tokens.text(id);
  };
  const unnamed =
    vocabulary.text('model') === 'gpt2' && ['default', undefined].includes(vocabulary.text('pre'));
  return {
    json: readJson(vocabulary),
    specialTokens: { bos: named('bos'), eos: named('eos'), unk: named('unknown'), pad: named('padding') },
    chatTemplates: chatTemplates(source.metadata),
    ...(unnamed
      ? {
          warning:
            'The GGUF file names no pre-tokenizer (tokenizer.ggml.pre): texts are split by a general rule, which may not be the one that the model was trained with. Convert the model again to make sure.',
        }
      : {}),
  };
}

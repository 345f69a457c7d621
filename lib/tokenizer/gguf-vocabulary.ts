/** Builds a tokenizer definition from the vocabulary in GGUF metadata: byte-level BPE and SentencePiece kinds. */
import { KvasirError } from '../errors.js';
import type { MetadataValue } from '../native.js';
import type { AddedTokenEntry, Component, TokenizerDefinition, TokenizerJson } from './definition.js';
import { byteLevelKind } from './gguf-pre-tokenizers.js';

/** The part of a container that this needs. */
export interface VocabularyMetadata {
  metadata: Readonly<Record<string, MetadataValue>>;
  metadataArray(key: string): string[] | Float64Array | boolean[];
}

/** `tokenizer.ggml.token_type`. */
const TokenType = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

interface Vocabulary {
  tokens: string[];
  types: ArrayLike<number>;
  flag: (name: string, fallback: boolean) => boolean;
  text: (name: string) => string | undefined;
  id: (name: string) => number | undefined;
}

function formatError(message: string): KvasirError {
  return new KvasirError('MODEL_FORMAT', `The GGUF vocabulary cannot be used: ${message}.`);
}

function strings(source: VocabularyMetadata, key: string): string[] {
  if (!Object.hasOwn(source.metadata, key)) throw formatError(`"${key}" is missing`);
  const value = source.metadataArray(key);
  if (!Array.isArray(value) || value.some((item) => typeof item !== 'string')) {
    throw formatError(`"${key}" must be a list of strings`);
  }
  return value as string[];
}

function numbers(source: VocabularyMetadata, key: string, length: number): ArrayLike<number> {
  const value = source.metadataArray(key);
  if (!(value instanceof Float64Array) || value.length !== length) {
    throw formatError(`"${key}" must be a list of ${length} numbers, one per token`);
  }
  return value;
}

function readVocabulary(source: VocabularyMetadata): Vocabulary {
  const { metadata } = source;
  const value = (name: string): MetadataValue | undefined => metadata[`tokenizer.ggml.${name}`];
  const tokens = strings(source, 'tokenizer.ggml.tokens');
  const typed = Object.hasOwn(metadata, 'tokenizer.ggml.token_type');
  return {
    tokens,
    types: typed
      ? numbers(source, 'tokenizer.ggml.token_type', tokens.length)
      : new Array<number>(tokens.length).fill(TokenType.normal),
    flag: (name, fallback) => (typeof value(name) === 'boolean' ? (value(name) as boolean) : fallback),
    text: (name) => (typeof value(name) === 'string' ? (value(name) as string) : undefined),
    id: (name) => {
      const id = value(`${name}_token_id`);
      return typeof id === 'number' && id >= 0 && id < tokens.length ? id : undefined;
    },
  };
}

function addedTokens({ tokens, types }: Vocabulary): AddedTokenEntry[] {
  const added: AddedTokenEntry[] = [];
  tokens.forEach((content, id) => {
    const special = types[id] === TokenType.control || types[id] === TokenType.unknown;
    if (content === '' || !(special || types[id] === TokenType.userDefined)) return;
    added.push({ id, content, lstrip: false, rstrip: false, normalized: false, special });
  });
  return added;
}

/** The first of equal tokens counts. */
function tokenIds(tokens: readonly string[]): Map<string, number> {
  const ids = new Map<string, number>();
  tokens.forEach((token, id) => {
    if (!ids.has(token)) ids.set(token, id);
  });
  return ids;
}

/** BOS before and EOS after a text, as the file asks for them. */
function postProcessor(vocabulary: Vocabulary, addsBos: boolean): Component | null {
  const around = (name: string, wanted: boolean): string[] => {
    const id = wanted ? vocabulary.id(name) : undefined;
    return id === undefined ? [] : [vocabulary.tokens[id]!];
  };
  const special = (token: string): object => ({ SpecialToken: { id: token, type_id: 0 } });
  const before = around('bos', vocabulary.flag('add_bos_token', addsBos)).map(special);
  const after = around('eos', vocabulary.flag('add_eos_token', false)).map(special);
  if (before.length + after.length === 0) return null;
  const single = [...before, { Sequence: { id: 'A', type_id: 0 } }, ...after];
  const pair = [...single, ...before, { Sequence: { id: 'B', type_id: 1 } }, ...after];
  const ids = ['bos', 'eos'].flatMap((name) => vocabulary.id(name) ?? []);
  const special_tokens = Object.fromEntries(
    ids.map((id): [string, object] => {
      const token = vocabulary.tokens[id]!;
      return [token, { id: token, ids: [id], tokens: [token] }];
    }),
  );
  return { type: 'TemplateProcessing', single, pair, special_tokens };
}

function byteLevelBpe(source: VocabularyMetadata, vocabulary: Vocabulary): TokenizerJson {
  const kind = byteLevelKind(vocabulary.text('pre') ?? 'default');
  return {
    added_tokens: addedTokens(vocabulary),
    normalizer: kind.normalizer,
    pre_tokenizer: kind.preTokenizer,
    post_processor: postProcessor(vocabulary, kind.addsBos),
    decoder: { type: 'ByteLevel' },
    model: {
      type: 'BPE',
      vocab: tokenIds(vocabulary.tokens),
      merges: strings(source, 'tokenizer.ggml.merges'),
      ignore_merges: kind.ignoreMerges,
    },
  };
}

/**
 * SentencePiece merges the pair whose joined piece scores highest. As ranked merges: every way to cut a piece into two
 * pieces, best score first, and the ways of one piece in the order of their parts' ids.
 */
function mergesFromScores(vocabulary: Vocabulary, scores: ArrayLike<number>): [string, string][] {
  const { tokens, types } = vocabulary;
  const mergeable = (id: number): boolean => types[id] === TokenType.normal;
  const ids = new Map<string, number>();
  tokens.forEach((token, id) => {
    if (mergeable(id) && !ids.has(token)) ids.set(token, id);
  });
  const merges: { left: number; right: number; score: number }[] = [];
  for (const [token, id] of ids) {
    const characters = Array.from(token);
    let cut = 0;
    for (let i = 1; i < characters.length; ++i) {
      cut += characters[i - 1]!.length;
      const left = ids.get(token.slice(0, cut));
      const right = ids.get(token.slice(cut));
      if (left !== undefined && right !== undefined) merges.push({ left, right, score: scores[id]! });
    }
  }
  merges.sort((a, b) => b.score - a.score || a.left - b.left || a.right - b.right);
  return merges.map(({ left, right }) => [tokens[left]!, tokens[right]!]);
}

function sentencePiece(source: VocabularyMetadata, vocabulary: Vocabulary): TokenizerJson {
  for (const name of ['precompiled_charsmap', 'remove_extra_whitespaces']) {
    const value = source.metadata[`tokenizer.ggml.${name}`];
    if (value !== undefined && value !== false) {
      throw new KvasirError(
        'UNSUPPORTED_ARCHITECTURE',
        `The GGUF vocabulary normalizes text by "${name}", which is not supported.`,
      );
    }
  }
  const space = '\u2581';
  const prefixed = vocabulary.flag('add_space_prefix', true);
  const replace = { type: 'Replace', pattern: { String: ' ' }, content: space };
  const unknown = vocabulary.id('unknown') ?? vocabulary.tokens.indexOf('<unk>');
  const strip = prefixed ? [{ type: 'Strip', content: ' ', start: 1, stop: 0 }] : [];
  return {
    added_tokens: addedTokens(vocabulary),
    normalizer: {
      type: 'Sequence',
      normalizers: [...(prefixed ? [{ type: 'Prepend', prepend: space }] : []), replace],
    },
    pre_tokenizer: null,
    post_processor: postProcessor(vocabulary, true),
    decoder: {
      type: 'Sequence',
      decoders: [
        { type: 'Replace', pattern: { String: space }, content: ' ' },
        { type: 'ByteFallback' },
        { type: 'Fuse' },
        ...strip,
      ],
    },
    model: {
      type: 'BPE',
      vocab: tokenIds(vocabulary.tokens),
      merges: mergesFromScores(
        vocabulary,
        numbers(source, 'tokenizer.ggml.scores', vocabulary.tokens.length),
      ),
      unk_token: unknown >= 0 ? vocabulary.tokens[unknown] : null,
      fuse_unk: true,
      byte_fallback: true,
    },
  };
}

/** Throws MODEL_FORMAT for a damaged vocabulary, UNSUPPORTED_ARCHITECTURE for a kind that is not there. */
export function definitionFromGguf(source: VocabularyMetadata): TokenizerDefinition {
  const vocabulary = readVocabulary(source);
  const kind = vocabulary.text('model');
  if (kind !== 'gpt2' && kind !== 'llama') {
    throw new KvasirError(
      'UNSUPPORTED_ARCHITECTURE',
      `The GGUF file has a vocabulary of the kind "${kind}"; supported are gpt2 (byte-level BPE) and llama (SentencePiece).`,
    );
  }
  const named = (name: string): string | undefined => {
    const id = vocabulary.id(name);
    return id === undefined ? undefined : vocabulary.tokens[id];
  };
  const template = source.metadata['tokenizer.chat_template'];
  return {
    json: kind === 'gpt2' ? byteLevelBpe(source, vocabulary) : sentencePiece(source, vocabulary),
    specialTokens: { bos: named('bos'), eos: named('eos'), unk: named('unknown'), pad: named('padding') },
    chatTemplates: typeof template === 'string' ? [{ name: 'default', template }] : [],
  };
}

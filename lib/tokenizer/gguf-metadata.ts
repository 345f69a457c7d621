/** The vocabulary in GGUF metadata, checked. */
import { types } from 'node:util';
import { KvasirError } from '../errors.js';
import type { Container, MetadataValue } from '../native.js';
import type { AddedTokenEntry, Component } from './definition.js';
import { TokenList } from './token-list.js';

/** The part of a container that this needs. */
export type VocabularyMetadata = Readonly<Pick<Container, 'metadata' | 'metadataArray'>>;

/** `tokenizer.ggml.token_type`. */
export const TokenType = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

export interface Vocabulary {
  source: VocabularyMetadata;
  tokens: TokenList;
  types: ArrayLike<number>;
  has: (name: string) => boolean;
  flag: (name: string, fallback: boolean) => boolean;
  text: (name: string) => string | undefined;
  id: (name: string) => number | undefined;
}

function formatError(message: string): KvasirError {
  return new KvasirError('MODEL_FORMAT', `The GGUF vocabulary cannot be used: ${message}.`);
}

export function strings(source: VocabularyMetadata, key: string): TokenList {
  if (!Object.hasOwn(source.metadata, key)) throw formatError(`"${key}" is missing`);
  const value = source.metadataArray(key);
  if (!('offsets' in value)) throw formatError(`"${key}" must be a list of strings`);
  return new TokenList(value);
}

/** `length`: how many there must be. */
export function numbers(source: VocabularyMetadata, key: string, length?: number): Float64Array {
  if (!Object.hasOwn(source.metadata, key)) throw formatError(`"${key}" is missing`);
  const value = source.metadataArray(key);
  if (!types.isFloat64Array(value)) throw formatError(`"${key}" must be a list of numbers`);
  if (length !== undefined && value.length !== length) {
    throw formatError(`"${key}" must be a list of ${length} numbers, one per token`);
  }
  return value;
}

export function scoresOf({ source, tokens }: Vocabulary): Float64Array {
  return numbers(source, 'tokenizer.ggml.scores', tokens.length);
}

export function readVocabulary(source: VocabularyMetadata): Vocabulary {
  const { metadata } = source;
  const value = (name: string): MetadataValue | undefined => metadata[`tokenizer.ggml.${name}`];
  const tokens = strings(source, 'tokenizer.ggml.tokens');
  const typed = Object.hasOwn(metadata, 'tokenizer.ggml.token_type');
  return {
    source,
    tokens,
    types: typed
      ? numbers(source, 'tokenizer.ggml.token_type', tokens.length)
      : new Array<number>(tokens.length).fill(TokenType.normal),
    has: (name) => Object.hasOwn(metadata, `tokenizer.ggml.${name}`),
    flag: (name, fallback) => (typeof value(name) === 'boolean' ? (value(name) as boolean) : fallback),
    text: (name) => (typeof value(name) === 'string' ? (value(name) as string) : undefined),
    id: (name) => {
      const id = value(`${name}_token_id`);
      return typeof id === 'number' && id >= 0 && id < tokens.length ? id : undefined;
    },
  };
}

export function isSpecial({ types }: Vocabulary, id: number): boolean {
  return types[id] === TokenType.control || types[id] === TokenType.unknown;
}

export function addedTokens(vocabulary: Vocabulary): AddedTokenEntry[] {
  const { tokens, types } = vocabulary;
  const added: AddedTokenEntry[] = [];
  for (let id = 0; id < tokens.length; ++id) {
    const special = isSpecial(vocabulary, id);
    if (!(special || types[id] === TokenType.userDefined)) continue;
    const content = tokens.text(id);
    if (content === '') continue;
    added.push({ id, content, lstrip: false, rstrip: false, normalized: false, special });
  }
  return added;
}

/** A token before and one after a text, as the file asks for them. */
export function postProcessor(
  vocabulary: Vocabulary,
  bos: boolean,
  eos: boolean,
  eosName = 'eos',
): Component | null {
  const ids = (name: string, wanted: boolean): number[] => {
    const id = wanted ? vocabulary.id(name) : undefined;
    return id === undefined ? [] : [id];
  };
  const first = ids('bos', vocabulary.flag('add_bos_token', bos));
  const last = ids(eosName, eosName === 'eos' ? vocabulary.flag('add_eos_token', eos) : eos);
  if (first.length + last.length === 0) return null;
  const special = (type_id: number) => (id: number) => ({
    SpecialToken: { id: vocabulary.tokens.text(id), type_id },
  });
  const around = (id: string, type_id: number): object[] => [
    ...first.map(special(type_id)),
    { Sequence: { id, type_id } },
    ...last.map(special(type_id)),
  ];
  const special_tokens = Object.fromEntries(
    [...first, ...last].map((id) => {
      const token = vocabulary.tokens.text(id);
      return [token, { id: token, ids: [id], tokens: [token] }];
    }),
  );
  const pair = [...around('A', 0), ...around('B', 1)];
  return { type: 'TemplateProcessing', single: around('A', 0), pair, special_tokens };
}

/** Makes the model that a definition names. */
import { KvasirError } from '../../errors.js';
import type { TokenizerJson } from '../definition.js';
import { BpeModel, type BpeOptions } from './bpe.js';
import { MergeList } from './merge-list.js';
import type { WordModel } from './model.js';
import { idLimit, maxId, TokenIndex } from './token-index.js';
import { UnigramModel } from './unigram.js';
import { WordLevelModel, WordPieceModel } from './whole-words.js';

type ModelJson = TokenizerJson['model'];

function wrong(model: ModelJson, problem: string): KvasirError {
  return new KvasirError('MODEL_FORMAT', `The tokenizer's ${model.type} model cannot be used: ${problem}.`);
}

/** Whether the model takes words as they are and spells their bytes itself; else they are spelled before. */
export function spellsBytes(model: ModelJson): boolean {
  const affixed = Boolean(model.continuing_subword_prefix) || Boolean(model.end_of_word_suffix);
  return model.type === 'BPE' && !affixed && model.byte_fallback !== true;
}

/** `spells`: whether a model of bytes spells them itself. Throws MODEL_FORMAT. */
export function createModel(model: ModelJson, spells: boolean): WordModel {
  switch (model.type) {
    case 'BPE':
      return createBpe(model, spells);
    case 'Unigram':
      return createUnigram(model);
    case 'WordPiece':
    case 'WordLevel':
      return createWholeWords(model);
    default:
      throw new KvasirError(
        'MODEL_FORMAT',
        `The tokenizer has a model of the type "${model.type}"; supported are BPE, Unigram, WordPiece and WordLevel.`,
      );
  }
}

function readIndex(model: ModelJson): TokenIndex {
  const index = indexOf(model);
  const { idEnd, count } = index;
  if (idEnd <= idLimit(count)) return index;
  throw wrong(model, `the vocabulary has ${count} tokens and an id of ${idEnd - 1}`);
}

function indexOf(model: ModelJson): TokenIndex {
  const { vocab } = model;
  if (vocab instanceof TokenIndex) return vocab;
  if (typeof vocab !== 'object' || vocab === null || Array.isArray(vocab)) {
    throw wrong(model, 'vocab must be an object');
  }
  const ids = vocab as Record<string, number>;
  const tokens = Object.keys(ids);
  const index = new TokenIndex(tokens.length, 12 * tokens.length);
  for (const token of tokens) {
    const id = ids[token]!;
    if (!(Number.isSafeInteger(id) && id >= 0 && id <= maxId)) {
      throw wrong(model, `the id of ${JSON.stringify(token)} must be a whole number from 0 on`);
    }
    index.add(token, id);
  }
  return index;
}

function optionalText(model: ModelJson, name: string): string | undefined {
  const value = model[name] ?? undefined;
  if (value === undefined || typeof value === 'string') return value;
  throw wrong(model, `${name} must be a string`);
}

function createBpe(model: ModelJson, spells: boolean): WordModel {
  if (model.dropout !== undefined && model.dropout !== null && model.dropout !== 0) {
    throw wrong(model, 'dropout makes its ids random, and is not supported');
  }
  const index = readIndex(model);
  const options: BpeOptions = {
    unknown: optionalText(model, 'unk_token'),
    prefix: optionalText(model, 'continuing_subword_prefix') ?? '',
    suffix: optionalText(model, 'end_of_word_suffix') ?? '',
    fusesUnknown: model.fuse_unk === true,
    fallsBack: model.byte_fallback === true,
    ignoresMerges: model.ignore_merges === true,
    spellsBytes: spells,
  };
  if (options.unknown !== undefined && index.get(options.unknown) === undefined) {
    // The reference fails at the first unknown character; here there is none to put.
    options.unknown = undefined;
  }
  const merges = readMerges(model, index, options.prefix).table();
  return new BpeModel(index, merges, options);
}

function parts(model: ModelJson, merge: unknown): readonly [string, string] {
  if (
    Array.isArray(merge) &&
    merge.length === 2 &&
    typeof merge[0] === 'string' &&
    typeof merge[1] === 'string'
  ) {
    return merge as [string, string];
  }
  if (typeof merge === 'string') {
    const space = merge.indexOf(' ');
    if (space >= 0 && merge.indexOf(' ', space + 1) < 0)
      return [merge.slice(0, space), merge.slice(space + 1)];
  }
  throw wrong(model, `${JSON.stringify(merge)} is no merge of two tokens`);
}

function readMerges(model: ModelJson, index: TokenIndex, prefix: string): MergeList {
  const { merges } = model;
  if (merges instanceof MergeList && merges.index === index && merges.prefix === prefix) return merges;
  if (!Array.isArray(merges)) throw wrong(model, 'merges must be a list');
  const list = new MergeList(index, prefix, merges.length);
  for (const merge of merges) {
    if (typeof merge === 'string' && merge.startsWith('#version')) continue;
    const [left, right] = parts(model, merge);
    if (list.pushTexts(left, right)) continue;
    const rest = prefix !== '' && right.startsWith(prefix) ? right.slice(prefix.length) : right;
    const missing = [right, left, left + rest].find((token) => index.get(token) === undefined);
    throw wrong(model, `a merge has ${JSON.stringify(missing)}, which is no token`);
  }
  return list;
}

function createUnigram(model: ModelJson): WordModel {
  const { vocab } = model;
  if (!Array.isArray(vocab)) throw wrong(model, 'vocab must be a list');
  const scores = new Float64Array(vocab.length);
  const pieces = vocab.map((entry: unknown, id) => {
    if (!Array.isArray(entry) || typeof entry[0] !== 'string' || typeof entry[1] !== 'number') {
      throw wrong(model, `entry ${id} of vocab must be a token and its score`);
    }
    scores[id] = entry[1];
    return entry[0];
  });
  const unknownId = model.unk_id ?? undefined;
  if (
    unknownId !== undefined &&
    !(Number.isInteger(unknownId) && (unknownId as number) >= 0 && (unknownId as number) < pieces.length)
  ) {
    throw wrong(model, 'unk_id must be an id of the vocabulary');
  }
  return new UnigramModel(pieces, scores, {
    unknownId: unknownId as number | undefined,
    fallsBack: model.byte_fallback === true,
    missingUnknown: () => wrong(model, 'a character is unknown, and unk_id is missing'),
  });
}

function createWholeWords(model: ModelJson): WordModel {
  const index = readIndex(model);
  const missing = (): KvasirError => wrong(model, 'a word is unknown, and the unknown token is missing');
  if (model.type === 'WordLevel') {
    return new WordLevelModel(index, optionalText(model, 'unk_token') ?? '<unk>', missing);
  }
  const longest = model.max_input_chars_per_word ?? 100;
  if (!Number.isSafeInteger(longest)) throw wrong(model, 'max_input_chars_per_word must be a whole number');
  const prefix = optionalText(model, 'continuing_subword_prefix') ?? '##';
  return new WordPieceModel(
    index,
    optionalText(model, 'unk_token') ?? '[UNK]',
    missing,
    prefix,
    longest as number,
  );
}

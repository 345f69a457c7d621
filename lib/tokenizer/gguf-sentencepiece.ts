/** SentencePiece vocabularies of GGUF files: merges by score (llama), and Unigram (t5). */
import { KvasirError } from '../errors.js';
import type { Component, TokenizerJson } from './definition.js';
import {
  addedTokens,
  numbers,
  postProcessor,
  scoresOf,
  TokenType,
  type Vocabulary,
} from './gguf-metadata.js';
import { MergeList } from './models/merge-list.js';
import type { TokenIndex } from './models/token-index.js';

const space = '\u2581';

/**
 * SentencePiece merges the pair whose joined piece scores highest. As ranked merges: every way to cut a piece into two
 * pieces, best score first, and the ways of one piece in the order of their parts' ids.
 */
function mergesFromScores({ tokens, types }: Vocabulary, vocab: TokenIndex, scores: Float64Array): MergeList {
  const pieces = tokens.index((id) => types[id] === TokenType.normal);
  const merges = new CutPieces(pieces, scores);
  const list = new MergeList(vocab, '', merges.lefts.length);
  const { bytes, offsets } = tokens;
  // A piece that is also a token of another type has the id that the vocabulary gives it.
  const known = (id: number): number => vocab.findBytes(bytes, offsets[id]!, offsets[id + 1]!);
  const { lefts, rights, wholes } = merges;
  for (const i of merges.order()) list.pushIds(known(lefts[i]!), known(rights[i]!), known(wholes[i]!));
  return list;
}

/** Every way to cut a piece into two pieces, as ids. */
class CutPieces {
  readonly lefts: number[] = [];
  readonly rights: number[] = [];
  readonly wholes: number[] = [];

  constructor(
    pieces: TokenIndex,
    readonly scores: Float64Array,
  ) {
    pieces.forEach((bytes, start, end, id) => {
      for (let cut = start + 1; cut < end; ++cut) {
        if ((bytes[cut]! & 0xc0) === 0x80) continue;
        const left = pieces.findBytes(bytes, start, cut);
        if (left < 0) continue;
        const right = pieces.findBytes(bytes, cut, end);
        if (right < 0) continue;
        this.lefts.push(left);
        this.rights.push(right);
        this.wholes.push(id);
      }
    });
  }

  order(): number[] {
    const { lefts, rights, wholes, scores } = this;
    return Array.from(lefts.keys()).sort(
      (a, b) => scores[wholes[b]!]! - scores[wholes[a]!]! || lefts[a]! - lefts[b]! || rights[a]! - rights[b]!,
    );
  }
}

/** Bytes of the table of replacements, in base64. */
function charactersMap({ source, has }: Vocabulary): Component[] {
  if (!has('precompiled_charsmap')) return [];
  const bytes = Uint8Array.from(
    numbers(source, 'tokenizer.ggml.precompiled_charsmap'),
    (byte) => byte & 0xff,
  );
  if (bytes.length === 0) return [];
  return [{ type: 'Precompiled', precompiled_charsmap: Buffer.from(bytes).toString('base64') }];
}

function withoutExtraSpaces(vocabulary: Vocabulary): Component[] {
  if (!vocabulary.flag('remove_extra_whitespaces', false)) return [];
  return [
    { type: 'Strip', strip_left: true, strip_right: true },
    { type: 'Replace', pattern: { Regex: ' {2,}' }, content: ' ' },
  ];
}

function unknownId(vocabulary: Vocabulary): number {
  return vocabulary.id('unknown') ?? vocabulary.tokens.indexOf('<unk>');
}

export function sentencePiece(vocabulary: Vocabulary): TokenizerJson {
  const prefixed = vocabulary.flag('add_space_prefix', true);
  const replace = { type: 'Replace', pattern: { String: ' ' }, content: space };
  const unknown = unknownId(vocabulary);
  const vocab = vocabulary.tokens.index();
  const strip = prefixed ? [{ type: 'Strip', content: ' ', start: 1, stop: 0 }] : [];
  const prefix = prefixed ? [{ type: 'Prepend', prepend: space }] : [];
  return {
    added_tokens: addedTokens(vocabulary),
    normalizer: {
      type: 'Sequence',
      normalizers: [...charactersMap(vocabulary), ...withoutExtraSpaces(vocabulary), ...prefix, replace],
    },
    pre_tokenizer: null,
    post_processor: postProcessor(vocabulary, true, false),
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
      vocab,
      merges: mergesFromScores(vocabulary, vocab, scoresOf(vocabulary)),
      unk_token: unknown >= 0 ? vocabulary.tokens.text(unknown) : null,
      fuse_unk: true,
      byte_fallback: true,
    },
  };
}

export function unigram(vocabulary: Vocabulary): TokenizerJson {
  if (vocabulary.flag('treat_whitespace_as_suffix', false)) {
    throw new KvasirError(
      'UNSUPPORTED_ARCHITECTURE',
      'The GGUF vocabulary puts spaces behind words (treat_whitespace_as_suffix), which is not supported.',
    );
  }
  const { tokens, types } = vocabulary;
  const scores = scoresOf(vocabulary);
  const unknown = unknownId(vocabulary);
  const scheme = vocabulary.flag('add_space_prefix', false) ? 'always' : 'never';
  const normalizers = [...charactersMap(vocabulary), ...withoutExtraSpaces(vocabulary)];
  const metaspace = { type: 'Metaspace', replacement: space, prepend_scheme: scheme, split: false };
  return {
    added_tokens: addedTokens(vocabulary),
    normalizer: normalizers.length === 0 ? null : { type: 'Sequence', normalizers },
    pre_tokenizer: metaspace,
    post_processor: postProcessor(vocabulary, false, true),
    decoder: metaspace,
    model: {
      type: 'Unigram',
      // What users have defined goes before all that has a score.
      vocab: tokens
        .texts()
        .map((token, id) => [token, types[id] === TokenType.userDefined ? 0 : scores[id]!]),
      unk_id: unknown >= 0 ? unknown : null,
      byte_fallback: types.length > 0 && Array.prototype.includes.call(types, TokenType.byte),
    },
  };
}

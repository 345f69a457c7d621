/** Where a text may be cut before byte pair encoding: its pieces have the tokens, and the places, of the whole text. */
import { describe, expect, test } from 'vitest';
import { Random } from '../../lib/generation/random.js';
import type { TokenizerJson } from '../../lib/tokenizer/definition.js';
import { EncodingPipeline } from '../../lib/tokenizer/encoding-pipeline.js';
import { byteToken } from '../../lib/tokenizer/models/bpe.js';
import { createModel } from '../../lib/tokenizer/models/create-model.js';
import { TokenSink, type WordModel } from '../../lib/tokenizer/models/model.js';
import { amount } from '../nightly.js';

type Model = TokenizerJson['model'];

/** Those of a model that many texts have come to. */
const cutsOf = (model: WordModel) => model.cutsFor?.(2 ** 20);

function piecesOf(model: WordModel, text: string): string[] {
  const cuts = cutsOf(model);
  const pieces: string[] = [];
  for (let from = 0; from < text.length; ) {
    const end = cuts?.next(text, from, text.length) ?? text.length;
    pieces.push(text.slice(from, end));
    from = end;
  }
  return pieces;
}

/** Each token with the bytes of the text that it stands for. */
function tokensOf(model: WordModel, pieces: readonly string[]): [id: number, start: number, end: number][] {
  const found: [number, number, number][] = [];
  let offset = 0;
  for (const piece of pieces) {
    const tokens = new TokenSink(true);
    model.encode(piece, 0, piece.length, tokens);
    for (let i = 0; i < tokens.count; ++i)
      found.push([tokens.ids[i]!, offset + tokens.spans![2 * i]!, offset + tokens.spans![2 * i + 1]!]);
    offset += Buffer.byteLength(piece);
  }
  return found;
}

const space = '\u2581';
const bytes = Array.from({ length: 256 }, (_, byte) => byteToken(byte));
const alphabet = [
  'a',
  'b',
  'c',
  space,
  '<',
  '>',
  '0',
  'x',
  '\n',
  '\u00e9',
  '\u4e00',
  '\u{1f600}',
  '\u{1f601}',
];
const texts = ['<0xC3>', '<unk>', `${space}${space}`, 'ab', '\u{1f600}\u{1f600}'];

class Drawn {
  constructor(readonly random: Random) {}

  below(count: number): number {
    return Math.floor(this.random.uniform() * count);
  }

  of<T>(values: readonly T[]): T {
    return values[this.below(values.length)]!;
  }

  text(): string {
    return Array.from({ length: 1 + this.below(30) }, () => this.of(this.below(5) ? alphabet : texts)).join(
      '',
    );
  }

  /** Some characters are tokens; merges are of any two tokens, also of those that stand for what is none. */
  model(): Model {
    const fallsBack = this.below(2) === 1;
    const unknown = this.of([null, '<unk>', 'a', '\u{1f601}']);
    const known = alphabet.filter(() => this.below(4) > 0);
    const fallback = bytes.slice(this.of([0, 0, 0, 0xa0]));
    const others = [...(fallsBack ? fallback : []), ...(unknown === null ? [] : [unknown])];
    const tokens = [...new Set([...known, ...others])];
    const mergeable = [...known, ...(this.below(2) ? ['<0xC3>', '<0x9F>', '<unk>'] : [])];
    const merges: [string, string][] = [];
    for (let n = this.below(12); n > 0; --n) {
      const parts = mergeable.filter((part) => tokens.includes(part));
      if (parts.length === 0) break;
      const [left, right] = [this.of(parts), this.of(parts)];
      merges.push([left, right]);
      if (!tokens.includes(left + right)) tokens.push(left + right);
      mergeable.push(left + right);
    }
    return {
      type: 'BPE',
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges,
      unk_token: unknown,
      byte_fallback: fallsBack,
      fuse_unk: this.below(2) === 1,
    };
  }
}

test('pieces of random texts have the tokens of the whole, for random vocabularies', () => {
  const drawn = new Drawn(new Random(11));
  const wrong: unknown[] = [];
  let cuts = 0;
  let merged = 0;
  for (let round = 0; round < amount(1500, 30_000); ++round) {
    const json = drawn.model();
    const model = createModel(json, false);
    for (let i = 0; i < 8; ++i) {
      const text = drawn.text();
      const pieces = piecesOf(model, text);
      const whole = tokensOf(model, [text]);
      const tokens = tokensOf(model, pieces);
      if (tokens.join(' ') !== whole.join(' ')) wrong.push({ json, text, pieces, tokens, whole });
      cuts += pieces.length - 1;
      merged += Array.from(text).length - whole.length;
    }
  }
  expect(wrong.slice(0, 1)).toEqual([]);
  // Much is cut, and much is merged, or this would say nothing.
  expect(cuts).toBeGreaterThan(amount(20_000, 400_000));
  expect(merged).toBeGreaterThan(amount(5000, 100_000));
});

/** As the vocabularies of Gemma: spaces become marks, and the pre-tokenizer, which looks for spaces, finds none. */
function gemma(vocab: readonly string[], merges: [string, string][]): TokenizerJson {
  const tokens = [...bytes, '<unk>', ...vocab];
  return {
    added_tokens: [],
    normalizer: { type: 'Replace', pattern: { String: ' ' }, content: space },
    pre_tokenizer: { type: 'Split', pattern: { String: ' ' }, behavior: 'MergedWithPrevious', invert: false },
    post_processor: null,
    decoder: null,
    model: {
      type: 'BPE',
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges,
      unk_token: '<unk>',
      byte_fallback: true,
      fuse_unk: true,
    },
  };
}

const letters = ['a', 'b', '.', '<', '/', '>', space];
const json = gemma(
  [...letters, 'ab', `${space}${space}`, `${space}ab`, `>${space}`, '</', `>${space}</`],
  [
    ['a', 'b'],
    [space, space],
    [space, 'ab'],
    ['>', space],
    ['<', '/'],
    [`>${space}`, '</'],
  ],
);

describe('a text with marks of spaces', () => {
  const model = createModel(json.model, false);

  test.each([
    ['words', `ab${space}ab${space}${space}ab.`, ['ab', `${space}ab`, `${space}${space}ab`, '.']],
    ['what a token has next to each other stays together', `a>${space}</b`, ['a', `>${space}</`, 'b']],
    [
      'a character that is no token, whose bytes end as a token does before a mark',
      `a\u00e9${space}ab`,
      [`a\u00e9${space}ab`],
    ],
    ['a character that is no token before a letter', 'a\u00e9a', ['a\u00e9', 'a']],
    ['nothing is cut before what is no token', 'b\u{1f600}\u00e9', ['b\u{1f600}\u00e9']],
  ])('%s', (_, text, pieces) => {
    expect(piecesOf(model, text)).toEqual(pieces);
    expect(tokensOf(model, pieces)).toEqual(tokensOf(model, [text]));
  });

  test('is cut once there has been enough text to pay for it', () => {
    const fresh = createModel(json.model, false);
    expect(fresh.cutsFor?.(8000)).toBeUndefined();
    expect(fresh.cutsFor?.(200)?.next(`ab${space}ab`, 0, 5)).toBe(2);
  });

  test('is no word, however long: a pre-tokenizer that parts nothing makes none', () => {
    const text = 'ab ab. '.repeat(600_000);
    const ids = new EncodingPipeline({ json, specialTokens: {}, chatTemplates: [] }).encode(text, {
      addSpecialTokens: false,
    });
    const [word, first] = [bytes.length + 1 + letters.length, bytes.length + 1 + letters.length + 2];
    const others = [letters.indexOf('.'), letters.indexOf(space)].map((at) => bytes.length + 1 + at);
    expect(ids.length).toBe(3 * 600_000 + 1);
    expect(Array.from(ids.subarray(0, 7))).toEqual([word, first, others[0], first, first, others[0], first]);
    expect(ids.at(-1)).toBe(others[1]);
  });
});

describe('there are no cuts', () => {
  const { model } = json;
  test.each([
    ['words are taken whole', { ignore_merges: true }],
    ['the ends of words are spelled otherwise', { end_of_word_suffix: '</' }],
    ['characters that are no tokens are left out', { byte_fallback: false, unk_token: null }],
    ['the unknown token has no spelling', { unk_token: '', vocab: { ...(model.vocab as object), '': 400 } }],
  ])('where %s', (_, change) => {
    expect(cutsOf(createModel({ ...model, ...change }, false))).toBeUndefined();
    expect(cutsOf(createModel(model, false))).toBeDefined();
  });

  test('where words are spelled as bytes', () => {
    expect(cutsOf(createModel(model, true))).toBeUndefined();
  });
});

/** The compiled tables of a vocabulary: the same tokenizer as from `tokenizer.json`, or, whatever is wrong with them, none. */
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type CompiledTables, compiledName, decodeTables } from '../../lib/tokenizer/compiled-tables.js';
import type { TokenizerJson } from '../../lib/tokenizer/definition.js';
import { EncodingPipeline } from '../../lib/tokenizer/encoding-pipeline.js';
import { MergeList } from '../../lib/tokenizer/models/merge-list.js';
import { MergeTable } from '../../lib/tokenizer/models/merge-table.js';
import { TokenIndex } from '../../lib/tokenizer/models/token-index.js';
import { definitionFromFiles } from '../../lib/tokenizer/tokenizer-files.js';
import { compileTokenizerJson, parseCompiled } from '../../lib/tokenizer/vocabulary-json.js';

let scratch = '';
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'kvasir-tables-'));
});
afterAll(() => rmSync(scratch, { recursive: true }));

const model = {
  type: 'BPE',
  continuing_subword_prefix: '',
  // An id that no token has, and one that comes late.
  vocab: { a: 0, b: 1, c: 3, ab: 2, abc: 7, '\u20ac': 4, '\ud83d\ude00': 5 },
  merges: [
    ['a', 'b'],
    ['ab', 'c'],
  ],
};
const json = Buffer.from(
  JSON.stringify({
    added_tokens: [{ id: 8, content: '<s>', special: true, lstrip: false, rstrip: false, normalized: false }],
    normalizer: null,
    pre_tokenizer: null,
    post_processor: null,
    decoder: { type: 'Fuse' },
    model,
  }),
);
const compiled = compileTokenizerJson(json)!;

/** As a file is read: no piece is there when the next has come. */
const inPieces = (text: Buffer) => ({
  bytes: text.length,
  each: (take: (piece: Uint8Array) => void) => {
    const piece = new Uint8Array(7);
    for (let at = 0; at < text.length; at += piece.length) {
      piece.set(text.subarray(at, at + piece.length));
      take(piece.subarray(0, text.length - at));
    }
  },
});

const decoded = (tables: Uint8Array, text = json): CompiledTables | undefined =>
  decodeTables(tables, inPieces(text));

/** What a load makes of a folder with these two. */
function loaded(text: Buffer, tables?: Uint8Array): EncodingPipeline {
  const path = join(scratch, 'tokenizer.json');
  writeFileSync(path, text);
  if (tables) writeFileSync(join(scratch, compiledName), tables);
  else rmSync(join(scratch, compiledName), { force: true });
  return new EncodingPipeline(definitionFromFiles({ kind: 'tokenizer-json', path }));
}

const texts = ['abcab<s>cba', '\u20ac\ud83d\ude00a', 'x', 'aabbcc'];

function behaviour(pipeline: EncodingPipeline): unknown {
  return {
    ids: texts.map((text) => Array.from(pipeline.encode(text, { addSpecialTokens: true }))),
    spellings: pipeline.spellings(),
    idEnd: pipeline.idEnd,
  };
}

/** With the digest that belongs to it, as only a writer of such files has it. */
function sealed(change: (words: DataView) => void, text = json): Buffer {
  const file = Buffer.from(compiled);
  change(new DataView(file.buffer, file.byteOffset + 40));
  createHash('sha256').update(file.subarray(40)).update(text).digest().copy(file, 8);
  return file;
}

describe('tables of its own', () => {
  test('are the tokenizer that the text is', () => {
    expect(behaviour(loaded(json, compiled))).toEqual(behaviour(loaded(json)));
  });

  test('are read: the text is not', () => {
    // The first id of the vocabulary, which no text has any more.
    const other = sealed((words) => words.setInt32(4 * (7 + 8), 6, true));
    const { index } = decoded(other)!;
    expect([index.get('a'), index.get('b')]).toEqual([6, 1]);
    const { model: read } = parseCompiled(other, inPieces(json)) as { model: Record<string, unknown> };
    expect(read.vocab).toBeInstanceOf(TokenIndex);
    expect((read.vocab as TokenIndex).get('a')).toBe(6);
    expect(read.merges).toBeInstanceOf(MergeList);
  });

  test('may lie anywhere in memory', () => {
    const moved = Buffer.concat([Buffer.alloc(1), compiled]).subarray(1);
    expect(decoded(moved)!.index.get('abc')).toBe(7);
  });

  test.each([
    ['WordPiece', { type: 'WordPiece', vocab: { a: 0, '##b': 1, '[UNK]': 2 }, unk_token: '[UNK]' }],
    ['WordLevel', { type: 'WordLevel', vocab: { aabbcc: 0, '<unk>': 1 }, unk_token: '<unk>' }],
    [
      'BPE with a prefix',
      { ...model, continuing_subword_prefix: '#', vocab: { a: 0, '#b': 1, ab: 2 }, merges: ['a #b'] },
    ],
    ['merges before the vocabulary', { type: 'BPE', merges: ['a b'], vocab: { a: 0, b: 1, ab: 2 } }],
    ['tokens of equal ids', { type: 'BPE', vocab: { b: 1, a: 0, c: 1, d: 0 }, merges: [] }],
    ['nothing', { type: 'BPE', vocab: {}, merges: [] }],
  ])('are of every kind of vocabulary: %s', (_, other) => {
    const text = Buffer.from(JSON.stringify({ ...JSON.parse(json.toString()), model: other }));
    const tables = compileTokenizerJson(text)!;
    expect(decoded(tables, text)).toBeDefined();
    expect(behaviour(loaded(text, tables))).toEqual(behaviour(loaded(text)));
  });

  test('have the spellings in the order of the ids, so that a load need not order them', () => {
    const other = { type: 'BPE', vocab: { c: 2, bb: 1, a: 0 }, merges: [] };
    const text = Buffer.from(JSON.stringify({ ...JSON.parse(json.toString()), model: other }));
    const tables = compileTokenizerJson(text)!;
    const { bytes } = decoded(tables, text)!.index.spellings();
    expect(Buffer.from(bytes).toString()).toBe('abbc');
    expect(bytes.buffer).toBe(tables.buffer);
  });

  test('there are none of a list of pieces, and of what is no plain JSON', () => {
    const pieces = { type: 'Unigram', unk_id: 0, vocab: [['a', -1]] };
    expect(compileTokenizerJson(Buffer.from(JSON.stringify({ model: pieces })))).toBeUndefined();
    expect(compileTokenizerJson(json.subarray(0, -1))).toBeUndefined();
    expect(compileTokenizerJson(Buffer.from([...json.subarray(0, 9), 0xff]))).toBeUndefined();
  });
});

test('the hashes are those of the version: with others it is another version', () => {
  const index = new TokenIndex(2, 20);
  index.add('abc', 0);
  index.add('\u20ac uro', 1);
  const taken = (slots: Int32Array) => Array.from(slots.entries()).filter(([, slot]) => slot !== 0);
  expect(taken(index.entries.slots)).toEqual([
    [9, 367134177],
    [27, -1610613694],
  ]);
  const merges = new MergeTable(Int32Array.of(1, 2, 3, 70_000, 5, 9), 2);
  expect(taken(merges.slots)).toEqual([
    [6, -1780365663],
    [7, -57543870],
  ]);
});

describe('tables that are not its own are passed over', () => {
  let expected: unknown;
  beforeAll(() => {
    expected = behaviour(loaded(json));
  });

  test('one byte changed anywhere', () => {
    for (let at = 0; at < compiled.length; ++at) {
      const changed = Buffer.from(compiled);
      changed[at]! ^= 1 << (at % 8);
      expect(decoded(changed), String(at)).toBeUndefined();
    }
  });

  test('cut anywhere, and longer', () => {
    for (let end = 0; end < compiled.length; ++end) {
      expect(decoded(compiled.subarray(0, end)), String(end)).toBeUndefined();
    }
    expect(decoded(Buffer.concat([compiled, Buffer.alloc(4)]))).toBeUndefined();
  });

  test('of another text: one byte of it changed', () => {
    const text = Buffer.from(json.toString().replace('"ab":2', '"ab":6'));
    expect(decoded(compiled, text)).toBeUndefined();
    expect(behaviour(loaded(text, compiled))).not.toEqual(expected);
    expect(behaviour(loaded(text, compiled))).toEqual(behaviour(loaded(text)));
  });

  test('a load goes on without', () => {
    for (const tables of [
      Buffer.alloc(0),
      Buffer.from('{}'),
      compiled.subarray(0, 50),
      Buffer.alloc(4096, 0xff),
    ]) {
      expect(behaviour(loaded(json, tables))).toEqual(expected);
    }
  });

  test('whole by their digest, with any word that lies: no load fails for it, and nothing outside is read', () => {
    const words = (compiled.length - 40) >> 2;
    for (let word = 0; word < words; ++word) {
      for (const value of [0, 1, 2, 77, 2 ** 31, 2 ** 32 - 1]) {
        const lying = sealed((view) => view.setUint32(4 * word, value, true));
        const read = parseCompiled(lying, inPieces(json));
        if (read === undefined) continue;
        const pipeline = new EncodingPipeline({
          json: read as TokenizerJson,
          specialTokens: {},
          chatTemplates: [],
        });
        for (const text of texts) {
          const ids = pipeline.encode(text, { addSpecialTokens: true });
          expect(ids.every((id) => id >= 0 && id < pipeline.idEnd)).toBe(true);
        }
      }
    }
  });

  test('places of vocabulary and merges that are not theirs', () => {
    const text = json.toString();
    for (const field of ['"normalizer":', '"decoder":']) {
      const at = text.indexOf(field) + field.length;
      const elsewhere = sealed((view) => {
        view.setUint32(12, at, true);
        view.setUint32(16, at + 4, true);
      });
      expect(decoded(elsewhere)).toBeDefined();
      expect(behaviour(loaded(json, elsewhere))).toEqual(expected);
    }
    const overlapping = sealed((view) => {
      view.setUint32(20, view.getUint32(12, true), true);
      view.setUint32(24, view.getUint32(16, true), true);
    });
    expect(behaviour(loaded(json, overlapping))).toEqual(expected);
  });

  test('an id far beyond the number of tokens', () => {
    expect(decoded(sealed((view) => view.setInt32(4 * 15, 1_000_000, true)))).toBeDefined();
    expect(decoded(sealed((view) => view.setInt32(4 * 15, 1_100_000, true)))).toBeUndefined();
  });
});

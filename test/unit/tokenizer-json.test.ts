/** `tokenizer.json` read from its bytes means what `JSON.parse` makes of it, and a file that is damaged is refused. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { MergeList } from '../../lib/tokenizer/models/merge-list.js';
import { TokenIndex } from '../../lib/tokenizer/models/token-index.js';
import { definitionFromFiles } from '../../lib/tokenizer/tokenizer-files.js';
import { parseTokenizerJson } from '../../lib/tokenizer/vocabulary-json.js';

interface Parsed {
  model: { vocab: unknown; merges: unknown };
}

const parse = (text: string): Parsed => parseTokenizerJson(Buffer.from(text)) as Parsed;

/** Half a surrogate pair as UTF-8 has it. */
const asUtf8 = (text: string): string => Buffer.from(text).toString();

/** What JSON.parse makes of it, with tables in the form that the tables' own JSON has. */
function expected(text: string): unknown {
  const value = JSON.parse(text) as { model?: { vocab?: unknown; merges?: unknown } };
  const { model } = value;
  if (typeof model?.vocab === 'object' && model.vocab !== null && !Array.isArray(model.vocab)) {
    model.vocab = Object.fromEntries(Object.entries(model.vocab).map(([token, id]) => [asUtf8(token), id]));
  }
  if (Array.isArray(model?.merges)) {
    model.merges = model.merges
      .filter((merge) => typeof merge !== 'string' || !merge.startsWith('#version'))
      .map((merge: string | string[]) => (typeof merge === 'string' ? merge.split(' ') : merge).map(asUtf8));
  }
  return value;
}

const normal = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

const file = (vocab: string, merges = '[]', more = ''): string =>
  `{"added_tokens": [], "model": {"type": "BPE", "vocab": ${vocab}, "merges": ${merges}${more}}, "x": "\\"]}"}`;
const abc = '{"a": 0, "b": 1, "c": 2, "ab": 3, "abc": 4}';

describe('plain files go into the tables', () => {
  test.each([
    ['merges as text', file(abc, '["a b", "ab c"]')],
    ['merges as pairs', file(abc, '[["a", "b"], ["ab", "c"]]')],
    ['a line that names a version', file(abc, '["#version: 0.2", "a b"]')],
    ['nothing', file('{}')],
    ['odd white space', file('\n{\t"a"\r:\n 0 ,"b":1\t,"ab":2}\r\n', ' [\t[ "a"\n,\r"b" ]\n]')],
    [
      'escapes',
      file(String.raw`{"\"\\\/\b\f\n\r\t": 0, "\u0041\u00e9\u20AC": 1, "\ud83d\ude00": 2, "x\u0000y": 3}`),
    ],
    [
      'halves of surrogate pairs',
      file(String.raw`{"\ud83d": 0, "x\ude00y": 1, "\ud83d\ud83d\ude00": 2, "\udc00\ud800": 3}`),
    ],
    ['the same half twice', file(String.raw`{"a\ud800": 0, "a\udbff": 1}`)],
    ['a token twice', file(String.raw`{"a": 0, "b": 1, "\u0061": 2}`)],
    ['a name that objects have', file('{"__proto__": 0, "constructor": 1, "1": 2, "0": 3}')],
    [
      'text beyond ASCII',
      file('{"\u00e9": 0, "\u20ac": 1, "\u{1f600}": 2, "\u00e9\u20ac": 3, "\u2028": 4}', '["\u00e9 \u20ac"]'),
    ],
    [
      'parts with escapes',
      file(String.raw`{"\n": 0, "a": 1, "\na": 2, "a\n": 3}`, String.raw`[["\n", "a"], ["a", "\n"], "a \n"]`),
    ],
    [
      'both parts with escapes',
      file(String.raw`{"\n": 0, "\t": 1, "\n\t": 2}`, String.raw`[["\n", "\t"], ["\u000a", "\u0009"]]`),
    ],
    ['great ids', file('{"a": 2147483646, "b": 0}')],
  ])('%s', (_, text) => {
    const value = parse(text);
    expect(value.model.vocab).toBeInstanceOf(TokenIndex);
    expect(value.model.merges).toBeInstanceOf(MergeList);
    expect(normal(value)).toEqual(expected(text));
  });

  test('merges that come before the vocabulary, and before the prefix', () => {
    const text = `{"model": {"merges": [["a", "##b"]], "vocab": {"a": 0, "##b": 1, "ab": 2}, "continuing_subword_prefix": "##"}}`;
    const value = parse(text);
    expect(value.model.merges).toBeInstanceOf(MergeList);
    expect(normal(value)).toEqual(expected(text));
  });

  test('thousands of tokens and merges, out of order', () => {
    const tokens = Array.from({ length: 5000 }, (_, i) => `t${(i * 7919) % 5000}`);
    const pairs = tokens.slice(0, 2000).map((token, i) => [token, tokens[4999 - i]!]);
    const all = [...tokens, ...pairs.map((pair) => pair.join('')).reverse()];
    const vocab = Object.fromEntries(all.map((token, i) => [token, (i * 31) % 7001]));
    const text = file(JSON.stringify(vocab, null, 2), JSON.stringify(pairs));
    const value = parse(text);
    expect(value.model.merges).toBeInstanceOf(MergeList);
    expect(normal(value)).toEqual(expected(text));
  });
});

describe('what is not plain is left to JSON.parse', () => {
  test.each([
    ['ids that are no digits', file('{"a": 1.0, "b": 2e0}')],
    ['a negative id', file('{"a": -1}')],
    ['an id that is too great', file('{"a": 2147483647}')],
    ['no id', file('{"a": null}')],
    ['a list of pieces', file('[["a", -1.5]]')],
    ['two vocabularies', file(abc, '[]', ', "vocab": {"z": 9}')],
    ['two models', `{"model": {"vocab": ${abc}}, "model": {"vocab": {"z": 9}}}`],
    ['two models, one in escapes', `{"model": {"vocab": ${abc}}, "mod\\u0065l": {"vocab": {"z": 9}}}`],
    ['no model', '{"model": 5}'],
  ])('%s', (_, text) => {
    const value = parse(text);
    expect(value.model.vocab).not.toBeInstanceOf(TokenIndex);
    expect(normal(value)).toEqual(JSON.parse(text));
  });

  test.each([
    ['three parts', '["a b c"]'],
    ['one part', '["a"]'],
    ['a part that is no token', '["a z"]'],
    ['a whole that is no token', '["b c"]'],
    ['a pair of three', '[["a", "b", "c"]]'],
    ['a number', '[5]'],
  ])('merges: %s', (_, merges) => {
    const text = file(abc, merges);
    expect(parse(text)).toEqual(JSON.parse(text));
  });

  test('bytes that are no UTF-8 are those of U+FFFD', () => {
    const bytes = Buffer.from(file('{"a?": 0, "b": 1}'));
    bytes[bytes.indexOf('?')] = 0xff;
    const value = parseTokenizerJson(bytes) as Parsed;
    expect(value.model.vocab).toBeInstanceOf(TokenIndex);
    expect(normal(value.model.vocab)).toEqual({ 'a\ufffd': 0, b: 1 });
  });
});

describe('damaged files', () => {
  const whole = file(String.raw`{"a": 100, "b": 210, "\u00e9\n": 320, "ab": 430}`, '["a b", ["a", "b"]]');

  /** The value, or what is wrong with the file. */
  const outcome = (work: () => unknown): unknown => {
    try {
      return normal(work());
    } catch (error) {
      return (error as Error).message;
    }
  };

  test('cut anywhere', () => {
    const bytes = Buffer.from(whole);
    for (let end = 0; end < bytes.length; ++end) {
      expect(() => parseTokenizerJson(bytes.subarray(0, end)), String(end)).toThrow(SyntaxError);
    }
  });

  test('one byte changed anywhere: the same value, or the same fault', () => {
    const bytes = Buffer.from(whole);
    for (let at = 0; at < bytes.length; ++at) {
      for (const byte of Buffer.from('"\\{}[],: 0x\n\u0001#')) {
        const changed = Buffer.from(bytes);
        changed[at] = byte;
        const text = changed.toString();
        const found = outcome(() => parseTokenizerJson(changed));
        const direct = outcome(() => JSON.parse(text));
        // A vocabulary that is taken as it is stands as JSON.parse gives it; a table as its own JSON.
        const table = outcome(() => expected(text));
        expect([direct, table], text).toContainEqual(found);
      }
    }
  });

  test('are MODEL_FORMAT, with the place', () => {
    const folder = mkdtempSync(join(tmpdir(), 'kvasir-json-'));
    try {
      const path = join(folder, 'tokenizer.json');
      for (const text of [whole.slice(0, 90), whole.replace('210', '2 10'), `\ufeff${whole}`, `${whole}]`]) {
        writeFileSync(path, text);
        expect(() => definitionFromFiles({ kind: 'tokenizer-json', path })).toThrow(
          expect.objectContaining({
            code: 'MODEL_FORMAT',
            message: expect.stringContaining('is not valid JSON'),
          }),
        );
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

/** Vocabularies of GGUF files: all pre-tokenizers by name, and the kinds of models that are no byte-level BPE. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import type { MetadataValue } from '../../lib/native.js';
import { alignedText } from '../../lib/tokenizer/aligned-text.js';
import { splitIsolated } from '../../lib/tokenizer/definition.js';
import { EncodingPipeline } from '../../lib/tokenizer/encoding-pipeline.js';
import type { VocabularyMetadata } from '../../lib/tokenizer/gguf-metadata.js';
import { preTokenizerKind, preTokenizerNames } from '../../lib/tokenizer/gguf-pre-tokenizers.js';
import { definitionFromGguf } from '../../lib/tokenizer/gguf-vocabulary.js';
import { Bounds, type Pieces } from '../../lib/tokenizer/pre-tokenizers/pieces.js';
import { createPreTokenization } from '../../lib/tokenizer/pre-tokenizers/pre-tokenizer.js';
import { metadataArrayOf } from './packed-strings.js';

interface Golden {
  texts: string[];
  kinds: Record<string, { patterns: string[]; ends: number[][] }>;
}

const path = fileURLToPath(new URL('../fixtures/tokenizer-pre/pieces.json', import.meta.url));
const golden = JSON.parse(readFileSync(path, 'utf8')) as Golden;

/** Ends of pieces in code points. */
function endsOf(patterns: readonly string[], text: string): number[] {
  const component = { type: 'Sequence', pretokenizers: patterns.map(splitIsolated) };
  const source = alignedText(text, 0, false);
  let pieces: Pieces = { source, bounds: Bounds.whole(text.length) };
  for (const stage of createPreTokenization(component, false).stages) pieces = stage(pieces);
  return Array.from(
    { length: pieces.bounds.count },
    (_, i) => Array.from(text.slice(0, pieces.bounds.end(i))).length,
  );
}

describe('pre-tokenizers of GGUF files', () => {
  test.each(Object.entries(golden.kinds))('%s parts texts as the reference', (name, { patterns, ends }) => {
    expect(preTokenizerKind(name).patterns).toEqual(patterns);
    golden.texts.forEach((text, i) => {
      expect({ text, ends: endsOf(patterns, text) }).toEqual({ text, ends: ends[i] });
    });
  });

  test('every name has its patterns among them', () => {
    const known = new Set(Object.values(golden.kinds).map(({ patterns }) => JSON.stringify(patterns)));
    const missing = preTokenizerNames.filter((name) => {
      const { patterns, words } = preTokenizerKind(name);
      return !words && !known.has(JSON.stringify(patterns));
    });
    expect(missing).toEqual([]);
    expect(preTokenizerNames.length).toBeGreaterThan(90);
    expect(() => preTokenizerKind('nonsense')).toThrow(/"nonsense".*not supported/);
  });
});

/** A container with these arrays and values. */
function gguf(
  values: Record<string, MetadataValue>,
  arrays: Record<string, string[] | number[]>,
): VocabularyMetadata {
  const metadata: Record<string, MetadataValue> = {};
  for (const [key, value] of Object.entries(values)) metadata[`tokenizer.ggml.${key}`] = value;
  for (const [key, { length }] of Object.entries(arrays)) {
    metadata[`tokenizer.ggml.${key}`] = { longArray: true, type: 'number', length };
  }
  const typed = Object.entries(arrays).map(([key, values]) => [
    key,
    typeof values[0] === 'string' ? (values as string[]) : Float64Array.from(values as number[]),
  ]);
  return { metadata, metadataArray: metadataArrayOf(Object.fromEntries(typed)) };
}

const encode = (source: VocabularyMetadata, text: string): number[] =>
  Array.from(new EncodingPipeline(definitionFromGguf(source)).encode(text, { addSpecialTokens: true }));

describe('models of GGUF files', () => {
  test('WordPiece: words begin with U+2581 there, and have [CLS] and [SEP] around them', () => {
    const tokens = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '\u2581hello', '\u2581wor', 'ld', '!', '\u2581!'];
    const source = gguf(
      { model: 'bert', cls_token_id: 2, seperator_token_id: 3, unknown_token_id: 1, padding_token_id: 0 },
      { tokens, token_type: [3, 3, 3, 3, 1, 1, 1, 1, 1] },
    );
    expect(encode(source, 'H\u00e9llo world! x')).toEqual([2, 4, 5, 6, 8, 1, 3]);
  });

  test('Unigram: the best sum of scores, spaces before words, EOS behind the text', () => {
    const tokens = ['<pad>', '</s>', '<unk>', '\u2581', '\u2581a', 'b', 'ab', '\u2581ab', 'mine'];
    const source = gguf(
      {
        model: 't5',
        eos_token_id: 1,
        unknown_token_id: 2,
        add_space_prefix: true,
        remove_extra_whitespaces: true,
      },
      { tokens, token_type: [3, 3, 2, 1, 1, 1, 1, 1, 4], scores: [0, 0, 0, -2, -3, -3, -4, -5, -9] },
    );
    expect(encode(source, '  ab   b')).toEqual([7, 3, 5, 1]);
    expect(encode(source, 'bmine')).toEqual([3, 5, 8, 1]);
  });

  test('plain BPE: spaces as U+2581, lines apart, bytes for what is unknown', () => {
    const bytes = Array.from(
      { length: 256 },
      (_, i) => `<0x${i.toString(16).toUpperCase().padStart(2, '0')}>`,
    );
    const tokens = ['<bos>', '\u2581', 'a', '\u2581a', '\n', ...bytes];
    const source = gguf(
      { model: 'gemma4', bos_token_id: 0 },
      { tokens, token_type: [3, 1, 1, 1, 1, ...bytes.map(() => 6)], merges: ['\u2581 a'] },
    );
    expect(encode(source, 'a a\n\u00e9')).toEqual([0, 2, 3, 4, 5 + 0xc3, 5 + 0xa9]);
  });

  test('without a name the general rule is taken, with a warning', () => {
    const arrays = { tokens: ['a', '$', 'a$'], merges: ['a $'] };
    const source = gguf({ model: 'gpt2' }, arrays);
    expect(definitionFromGguf(source).warning).toMatch(/names no pre-tokenizer/);
    // Signs are parted from all else first.
    expect(encode(source, 'a$')).toEqual([0, 1]);
    expect(definitionFromGguf(gguf({ model: 'gpt2', pre: 'gpt-2' }, arrays)).warning).toBeUndefined();
  });

  test('others are refused by name', () => {
    for (const model of ['rwkv', 'plamo2', 'hybriddna']) {
      expect(() => definitionFromGguf(gguf({ model }, { tokens: ['a'] }))).toThrow(model);
    }
  });
});

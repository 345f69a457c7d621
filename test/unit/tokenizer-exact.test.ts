import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import type { MetadataValue } from '../../lib/native.js';
import { native } from '../../lib/native.js';
import { buildTokenTable } from '../../lib/tokenizer/build-token-table.js';
import { splitIsolated, type TokenizerDefinition } from '../../lib/tokenizer/definition.js';
import { EncodingPipeline } from '../../lib/tokenizer/encoding-pipeline.js';
import { preTokenizerKind } from '../../lib/tokenizer/gguf-pre-tokenizers.js';
import { definitionFromGguf, type VocabularyMetadata } from '../../lib/tokenizer/gguf-vocabulary.js';
import { createModel } from '../../lib/tokenizer/models/create-model.js';
import { TokenSink } from '../../lib/tokenizer/models/model.js';
import { StreamingDecoder } from '../../lib/tokenizer/streaming-decoder.js';
import { TokenTable } from '../../lib/tokenizer/token-table.js';
import { definitionFromFiles } from '../../lib/tokenizer/tokenizer-files.js';
import { metadataArrayOf, packed } from './packed-strings.js';
import { smollm2Gguf } from './tokenizer-smollm2.js';

interface Case {
  text: string;
  ids: number[];
  decoded: string;
}

const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const cases = JSON.parse(readFileSync(at('../fixtures/tokenizer-fuzz/cases.json'), 'utf8')) as Record<
  string,
  Case[]
>;
const storiesPath = at('../../models/stories-260k/tokenizer.json');
const gguf = await smollm2Gguf();

function tableOf(pipeline: EncodingPipeline): TokenTable {
  return new TokenTable(buildTokenTable(pipeline, pipeline.definition.json.decoder));
}

function compare(definition: TokenizerDefinition, samples: readonly Case[]): void {
  const pipeline = new EncodingPipeline(definition);
  const table = tableOf(pipeline);
  for (const { text, ids, decoded } of samples) {
    const encoded = Array.from(pipeline.encode(text, { addSpecialTokens: true }));
    expect({ text, ids: encoded }).toEqual({ text, ids });
    expect({ text, decoded: table.decode(ids, true) }).toEqual({ text, decoded });
    const decoder = new StreamingDecoder(table);
    const pieces = ids.map((id) => decoder.push(id));
    expect(pieces.join('') + decoder.flush()).toBe(decoded);
  }
}

function stories(): TokenizerDefinition {
  return definitionFromFiles({ kind: 'tokenizer-json', path: storiesPath, embeddingRows: 512 });
}

/** The same with vocabulary and merges as the file has them. */
function storiesAsValues(): TokenizerDefinition & { json: { model: { vocab: Record<string, number> } } } {
  const { json, ...rest } = stories();
  const { model } = JSON.parse(readFileSync(storiesPath, 'utf8')) as TokenizerDefinition['json'];
  return { ...rest, json: { ...json, model: { ...model, vocab: model.vocab as Record<string, number> } } };
}

/** The vocabulary of stories-260k as a GGUF file holds it: pieces, scores, types. */
function storiesAsGguf(): VocabularyMetadata {
  const { vocab, ...model } = storiesAsValues().json.model;
  const merges = model.merges as (string | string[])[];
  const tokens: string[] = [];
  for (const [token, id] of Object.entries(vocab)) tokens[id] = token;
  const scores = new Float64Array(tokens.length).fill(-1e6);
  merges.forEach((merge, rank) => {
    const id = vocab[typeof merge === 'string' ? merge.replace(' ', '') : merge.join('')]!;
    scores[id] = Math.max(scores[id]!, -rank);
  });
  const types = Float64Array.from(tokens, (token, id) =>
    id === 0 ? 2 : id < 3 ? 3 : /^<0x..>$/.test(token) ? 6 : 1,
  );
  const long: Record<string, string[] | Float64Array> = { tokens, scores, token_type: types };
  const metadata: Record<string, MetadataValue> = {
    'tokenizer.ggml.model': 'llama',
    'tokenizer.ggml.bos_token_id': 1,
    'tokenizer.ggml.eos_token_id': 2,
    'tokenizer.ggml.unknown_token_id': 0,
  };
  for (const key of Object.keys(long))
    metadata[`tokenizer.ggml.${key}`] = { longArray: true, type: 'number', length: tokens.length };
  return { metadata, metadataArray: metadataArrayOf(long) };
}

test('stories-260k is encoded and decoded as the reference does', () => {
  compare(stories(), cases.stories!);
});

test('a SentencePiece vocabulary from GGUF scores gives the same', () => {
  compare(definitionFromGguf(storiesAsGguf()), cases.stories!);
});

test('SentencePiece text in pieces is encoded as the whole text', () => {
  const definition = stories();
  const file = readFileSync(at('../fixtures/tokenizer-fuzz/make.py'), 'utf8');
  const text = file.replaceAll(/<\/?s>/g, '');
  const pieces = new EncodingPipeline(definition).encode(text, { addSpecialTokens: false });
  // What the normalizer makes of it, to the model at once.
  const normalized = `\u2581${text.replaceAll(' ', '\u2581')}`;
  const whole = new TokenSink(false);
  createModel(definition.json.model, false).encode(normalized, 0, normalized.length, whole);
  expect(pieces).toEqual(whole.ids.slice(0, whole.count));
});

test('nano-gpt-sort joins its letters', () => {
  const path = at('../../models/nano-gpt-sort/tokenizer.json');
  const pipeline = new EncodingPipeline(
    definitionFromFiles({ kind: 'tokenizer-json', path, embeddingRows: 3 }),
  );
  expect(Array.from(pipeline.encode('CABBAC', { addSpecialTokens: true }))).toEqual([2, 0, 1, 1, 0, 2]);
  expect(tableOf(pipeline).decode([0, 1, 2], true)).toBe('ABC');
});

describe('rules that the big vocabularies do not show', () => {
  const splitOf = (pre: string) => ({
    type: 'Sequence',
    pretokenizers: preTokenizerKind(pre).patterns.map(splitIsolated),
  });
  const llama3 = splitOf('llama-bpe');

  function encode(
    text: string,
    change: Partial<TokenizerDefinition['json']>,
    ignore_merges = false,
  ): number[] {
    const tokens = [
      '1',
      '2',
      '3',
      '4',
      '5',
      '12',
      '123',
      '45',
      '12345',
      'a',
      'b',
      '<',
      '>',
      '<a',
      '<a>',
      '<a>b',
      '\u2581',
      '\u2581\u2581',
    ];
    const pipeline = new EncodingPipeline({
      json: {
        added_tokens: [],
        normalizer: null,
        pre_tokenizer: null,
        post_processor: null,
        decoder: { type: 'ByteLevel' },
        model: {
          type: 'BPE',
          vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
          merges: ['1 2', '12 3', '4 5', '\u2581 \u2581'],
          ignore_merges,
        },
        ...change,
      },
      specialTokens: {},
      chatTemplates: [],
    });
    return Array.from(pipeline.encode(text, { addSpecialTokens: true }));
  }

  test('Llama 3 takes three digits together, Qwen 2 one, GPT-2 all', () => {
    expect(encode('12345', { pre_tokenizer: llama3 })).toEqual([6, 7]);
    expect(encode('12312', { pre_tokenizer: llama3 })).toEqual([6, 5]);
    expect(encode('123', { pre_tokenizer: splitOf('qwen2') })).toEqual([0, 1, 2]);
    expect(encode('4512', { pre_tokenizer: llama3 })).toEqual([7, 0, 1]);
    expect(encode('4512', { pre_tokenizer: splitOf('gpt-2') })).toEqual([7, 5]);
  });

  test('Llama 3 takes a word of the vocabulary whole, without merges that lead to it', () => {
    expect(preTokenizerKind('llama-bpe').ignoresMerges).toBe(true);
    expect(encode('12345', {}, true)).toEqual([8]);
    expect(encode('12345', {}, false)).toEqual([6, 7]);
  });

  test('Digits of tokenizer.json are all that Unicode calls numbers', () => {
    const pre_tokenizer = { type: 'Digits', individual_digits: true };
    expect(encode('123', { pre_tokenizer })).toEqual([0, 1, 2]);
  });

  test('a run of spaces stays together', () => {
    const normalizer = { type: 'Replace', pattern: { String: ' ' }, content: '\u2581' };
    expect(encode('a  b a', { normalizer })).toEqual([9, 17, 10, 16, 9]);
  });

  test('of added tokens that begin alike the longest is taken', () => {
    const added_tokens = [13, 15, 14].map((id) => ({
      id,
      content: ['<a', '<a>', '<a>b', '\u2581', '\u2581\u2581'][id - 13]!,
      special: id === 14,
      normalized: false,
      lstrip: false,
      rstrip: false,
    }));
    expect(encode('<a<a>b<a>a', { added_tokens })).toEqual([13, 15, 14, 9]);
  });
});

describe('tokenizer.json of byte-level kinds', () => {
  test.skipIf(gguf === undefined)(
    'Digits and ByteLevel split as the reference (needs the vocabulary of SmolLM2)',
    async () => {
      const container = await native().openContainer([gguf!]);
      const definition = definitionFromGguf(container);
      container.close();
      const bytes = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true };
      const digits = { type: 'Digits', individual_digits: true };
      for (const [kind, stages] of [
        ['smollm', [digits, bytes]],
        ['gpt-2', [bytes]],
      ] as const) {
        const pre_tokenizer = { type: 'Sequence', pretokenizers: stages };
        compare({ ...definition, json: { ...definition.json, pre_tokenizer } }, cases[kind]!);
      }
    },
  );
});

describe.skipIf(gguf === undefined)('with the vocabulary of SmolLM2 (skipped where it cannot be had)', () => {
  test.each(['smollm', 'gpt-2', 'llama-bpe', 'qwen2'])(
    'the pre-tokenizer %s splits as the reference',
    async (pre) => {
      const container = await native().openContainer([gguf!]);
      // The vocabulary is SmolLM2's, which starts no text with BOS.
      const metadata = { ...container.metadata, 'tokenizer.ggml.pre': pre };
      const definition = definitionFromGguf({
        metadata,
        metadataArray: (key) => container.metadataArray(key),
      });
      container.close();
      compare(definition, cases[pre]!);
    },
  );
});

describe('tables of a BPE model', () => {
  const encoded = (definition: TokenizerDefinition): number[][] => {
    const pipeline = new EncodingPipeline(definition);
    const texts = ['Once upon a time', 'there was a girl   named Lily.', '\u00e9\u{1f600} x\n\n', '</s>a'];
    return texts.map((text) => [...pipeline.encode(text, { addSpecialTokens: true })]);
  };
  const { json } = storiesAsValues();
  const merges = (json.model.merges as (string | string[])[]).map((merge) =>
    typeof merge === 'string' ? merge.split(' ') : merge,
  );
  const withModel = (change: object): TokenizerDefinition => ({
    ...stories(),
    json: { ...json, model: { ...json.model, ...change } },
  });

  test('are the same out of the bytes of a file, and out of values, with merges as pairs and as text', () => {
    const expected = encoded(stories());
    expect(encoded(withModel({ merges: merges.map((pair) => pair.join(' ')) }))).toEqual(expected);
    expect(encoded(withModel({ merges }))).toEqual(expected);
    // And they are used: without its merges a text falls into characters.
    expect(encoded(withModel({ merges: [] }))).not.toEqual(expected);
  });

  test('a merge of three parts is refused by name', () => {
    expect(() => encoded(withModel({ merges: ['a b c'] }))).toThrow(/"a b c" is no merge of two tokens/);
  });
});

test('strings of a GGUF array cross as they are', async () => {
  const string = (text: string): Buffer => {
    const bytes = Buffer.from(text);
    const size = Buffer.alloc(8);
    size.writeBigUInt64LE(BigInt(bytes.length));
    return Buffer.concat([size, bytes]);
  };
  const u32 = (value: number): Buffer => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(value);
    return bytes;
  };
  const u64 = (value: number): Buffer => Buffer.concat([u32(value), u32(0)]);
  const lists = {
    plain: ['a', '', '\u00e9\u{1f600}', ' b '],
    none: [],
    empty: [''],
    parted: ['x\0y', '', '\0', 'z'],
  };
  const entries = Object.entries(lists).map(([key, values]) =>
    Buffer.concat([string(key), u32(9), u32(8), u64(values.length), ...values.map(string)]),
  );
  const folder = mkdtempSync(join(tmpdir(), 'kvasir-gguf-'));
  try {
    const path = join(folder, 'strings.gguf');
    writeFileSync(
      path,
      Buffer.concat([Buffer.from('GGUF'), u32(3), u64(0), u64(entries.length), ...entries]),
    );
    const container = await native().openContainer([path]);
    for (const [key, values] of Object.entries(lists))
      expect(container.metadataArray(key)).toEqual(packed(values));
    container.close();
  } finally {
    rmSync(folder, { recursive: true });
  }
});

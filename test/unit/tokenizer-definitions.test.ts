/**
 * 253 definitions of all kinds and flags, each with 40 hard texts, against what the reference made of them: ids, offsets, pairs
 * and decoded text (test/fixtures/tokenizer-definitions/make.py). A sample by default; all with KVASIR_NIGHTLY=1.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { buildTokenTable } from '../../lib/tokenizer/build-token-table.js';
import type { TokenizerJson } from '../../lib/tokenizer/definition.js';
import { EncodingPipeline } from '../../lib/tokenizer/encoding-pipeline.js';
import { StreamingDecoder } from '../../lib/tokenizer/streaming-decoder.js';
import { TokenTable } from '../../lib/tokenizer/token-table.js';

/** ids, offsets, ids of the pair, its offsets, type ids and sequences, decoded without and with special tokens. */
type Case = [number[], number[], number[], number[], number[], number[], string | null, string | null];

interface Goldens {
  texts: string[];
  models: TokenizerJson['model'][];
  tokenizers: { definition: Omit<TokenizerJson, 'model'> & { model: number }; cases: (Case | null)[] }[];
}

const file = fileURLToPath(new URL('../fixtures/tokenizer-definitions/cases.json.gz', import.meta.url));
const { texts, models, tokenizers } = JSON.parse(gunzipSync(readFileSync(file)).toString()) as Goldens;
const step = process.env.KVASIR_NIGHTLY === '1' ? 1 : 4;

/** UTF-16 unit by code point. */
function unitsOf(text: string): number[] {
  const units = [0];
  for (const character of text) units.push(units.at(-1)! + character.length);
  return units;
}

const units = texts.map(unitsOf);

function pipelineOf(index: number): EncodingPipeline {
  const { definition } = tokenizers[index]!;
  const json = { ...definition, model: models[definition.model]! };
  return new EncodingPipeline({ json, specialTokens: {}, chatTemplates: [] });
}

function compareEncoding(pipeline: EncodingPipeline, i: number, expected: Case): void {
  const text = texts[i]!;
  const other = texts.length - 1 - i;
  const [ids, offsets, pairIds, pairOffsets, types, sequences] = expected;
  expect(Array.from(pipeline.encode(text, { addSpecialTokens: true })), text).toEqual(ids);
  const single = pipeline.encodeFully([text], { addSpecialTokens: true });
  expect(Array.from(single.ids), text).toEqual(ids);
  expect(Array.from(single.offsets!), text).toEqual(offsets.map((point) => units[i]![point]));
  const pair = pipeline.encodeFully([text, texts[other]!], { addSpecialTokens: i % 4 > 0 });
  expect(Array.from(pair.ids), text).toEqual(pairIds);
  expect(Array.from(pair.typeIds), text).toEqual(types);
  const places = pairOffsets.map((point, k) => units[sequences[k >> 1] === 1 ? other : i]![point]);
  expect(Array.from(pair.offsets!), text).toEqual(places);
}

function compareDecoding(table: TokenTable, expected: Case): void {
  const [ids, , , , , , plain, whole] = expected;
  for (const [text, skipSpecialTokens] of [
    [plain, true],
    [whole, false],
  ] as const) {
    if (text === null) continue;
    expect(table.decode(ids, skipSpecialTokens)).toBe(text);
    const stream = new StreamingDecoder(table, { skipSpecialTokens });
    expect(ids.map((id) => stream.push(id)).join('') + stream.flush()).toBe(text);
  }
}

describe('definitions of all kinds', () => {
  test('are as many as they should be', () => {
    expect(tokenizers.length).toBeGreaterThanOrEqual(250);
    expect(texts).toHaveLength(40);
    expect(tokenizers.flatMap(({ cases }) => cases).filter((one) => one === null)).toHaveLength(0);
  });

  test.each(tokenizers.map((_, index) => index).filter((index) => index % step === 0))(
    'definition %i encodes and decodes as the reference',
    (index) => {
      const pipeline = pipelineOf(index);
      const { definition, cases } = tokenizers[index]!;
      const table = new TokenTable(buildTokenTable(pipeline, definition.decoder));
      cases.forEach((expected, i) => {
        if (expected === null) return;
        compareEncoding(pipeline, i, expected);
        compareDecoding(table, expected);
      });
    },
  );
});

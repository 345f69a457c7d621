/** What the nightly sweep of vocabularies makes of a tokenizer.json, as GGUF says it: here of small ones, which need no download. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { characterOf } from '../../lib/tokenizer/byte-spelling.js';
import type { TokenizerJson } from '../../lib/tokenizer/definition.js';
import { EncodingPipeline } from '../../lib/tokenizer/encoding-pipeline.js';
import { definitionFromGguf } from '../../lib/tokenizer/gguf-vocabulary.js';
import { randomStrings } from '../../scripts/measure/random-strings.mjs';
import { ggufMetadata, sayableInGguf } from '../../scripts/sweeps/gguf-form.mjs';

const idsOf = (pipeline: EncodingPipeline) =>
  randomStrings(300).map((text) => Array.from(pipeline.encode(text, { addSpecialTokens: true })));

const storiesPath = fileURLToPath(new URL('../../models/stories-260k/tokenizer.json', import.meta.url));
const stories = () => JSON.parse(readFileSync(storiesPath, 'utf8')) as TokenizerJson;

function byteLevel(): TokenizerJson {
  const merges = ['t h', 'th e', 'H e', 'l l', 'r e', '\u0120 a'];
  const spelled = Array.from({ length: 256 }, (_, byte) => characterOf(byte));
  const tokens = [...spelled, ...merges.map((merge) => merge.replace(' ', '')), '<|endoftext|>'];
  const vocab = Object.fromEntries(tokens.map((token, id) => [token, id]));
  const end = {
    id: tokens.length - 1,
    content: '<|endoftext|>',
    special: true,
    lstrip: false,
    rstrip: false,
  };
  return {
    added_tokens: [{ ...end, normalized: false }],
    normalizer: null,
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
    post_processor: null,
    decoder: { type: 'ByteLevel' },
    model: { type: 'BPE', vocab, merges },
  };
}

test.each([
  ['SentencePiece', stories, undefined],
  ['byte-level BPE', byteLevel, 'gpt-2'],
])('%s in the form of the sweep has the ids of tokenizer.json', (_, definition, pre) => {
  const json = definition();
  const direct = { json: sayableInGguf(json, pre), specialTokens: {}, chatTemplates: [] };
  const expected = idsOf(new EncodingPipeline(direct));
  expect(idsOf(new EncodingPipeline(definitionFromGguf(ggufMetadata(json, pre))))).toEqual(expected);
  expect(new Set(expected.flat()).size).toBeGreaterThan(100);
});

/** The least number of tokens that a text has is never more than it has, and is known where every character becomes a token. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { packageRoot } from '../../lib/native.js';
import type { TokenizerJson } from '../../lib/tokenizer/definition.js';
import { EncodingPipeline } from '../../lib/tokenizer/encoding-pipeline.js';
import { unitsOfToken } from '../../lib/tokenizer/units-of-token.js';

const read = (folder: string): TokenizerJson =>
  JSON.parse(readFileSync(join(packageRoot, folder, 'tokenizer.json'), 'utf8'));
const stories = read('models/stories-260k');
const gpt2 = read('test/fixtures/tiny-gpt2');

const pipelineOf = (json: TokenizerJson): EncodingPipeline =>
  new EncodingPipeline({ json, specialTokens: {}, chatTemplates: [] });
const unitsOf = (json: TokenizerJson): number | undefined => unitsOfToken(pipelineOf(json));

describe.each([
  ['bytes that have tokens of their own', stories],
  ['words spelled in bytes', gpt2],
])('%s', (_, json) => {
  test('no token stands for more', () => {
    const pipeline = pipelineOf(json);
    const units = unitsOfToken(pipeline)!;
    expect(units).toBeGreaterThan(1);
    expect(units).toBeLessThan(40);
    let reached = 0;
    for (let id = 0; id < pipeline.idEnd; ++id) {
      // Its own spelling, alone and over and over.
      const spelling = (pipeline.tokenOf(id) ?? '').replaceAll('\u2581', ' ').replaceAll('\u0120', ' ');
      for (const text of [spelling, spelling.repeat(7), `${spelling}\ud83d\ude00\u20ac`]) {
        const tokens = pipeline.encode(text, { addSpecialTokens: false }).length;
        expect(Math.ceil(text.length / units), text).toBeLessThanOrEqual(tokens);
        if (tokens > 0) reached = Math.max(reached, text.length / tokens);
      }
    }
    expect(reached).toBeGreaterThan(units / 2);
  });
});

test('there is no bound where characters vanish', () => {
  const strip = { type: 'Strip', strip_left: true, strip_right: true };
  const removed = { type: 'Split', pattern: { String: ' ' }, behavior: 'Removed', invert: false };
  const spaces = { id: 3, content: '<x>', special: false, lstrip: true, rstrip: false, normalized: false };
  const shorter = { type: 'Replace', pattern: { String: 'aa' }, content: 'a' };
  const longer = { type: 'Replace', pattern: { String: 'a' }, content: 'aa' };
  const { vocab } = stories.model as { vocab: Record<string, number> } & TokenizerJson['model'];
  const bytes = Object.fromEntries(Object.entries(vocab).filter(([token]) => token !== '<0x07>'));
  for (const changed of [
    { normalizer: strip },
    { normalizer: { type: 'NFC' } },
    { normalizer: { type: 'Sequence', normalizers: [longer, shorter] } },
    { pre_tokenizer: removed },
    { pre_tokenizer: { type: 'WhitespaceSplit' } },
    { added_tokens: [spaces] },
    { model: { ...stories.model, byte_fallback: false } },
    { model: { ...stories.model, vocab: bytes, merges: [] } },
    { model: { type: 'WordLevel', vocab, unk_token: '<unk>' } },
  ] as Partial<TokenizerJson>[]) {
    expect(unitsOf({ ...stories, ...changed }), JSON.stringify(changed).slice(0, 80)).toBeUndefined();
  }
  expect(unitsOf({ ...stories, normalizer: longer })).toBe(unitsOf(stories));
});

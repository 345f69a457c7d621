/** Small vocabularies after bug reports of other engines, with the ids of the reference. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from 'vitest';
import { buildTokenTable } from '../../lib/tokenizer/build-token-table.js';
import { EncodingPipeline } from '../../lib/tokenizer/encoding-pipeline.js';
import { TokenTable } from '../../lib/tokenizer/token-table.js';
import { definitionFromFiles } from '../../lib/tokenizer/tokenizer-files.js';

const path = fileURLToPath(new URL('../fixtures/tokenizer-cases/inputs.json', import.meta.url));
const inputs = JSON.parse(readFileSync(path, 'utf8')) as Record<string, Record<string, unknown>>;
const scratch = mkdtempSync(join(tmpdir(), 'kvasir-tokenizer-cases-'));
afterAll(() => rmSync(scratch, { recursive: true }));

function load(name: string): EncodingPipeline {
  const folder = mkdtempSync(join(scratch, `${name}-`));
  for (const [file, content] of Object.entries(inputs[name]!)) {
    writeFileSync(join(folder, file), JSON.stringify(content));
  }
  const at = (file: string) => (file in inputs[name]! ? join(folder, file) : undefined);
  return new EncodingPipeline(
    definitionFromFiles({
      kind: 'tokenizer-json',
      path: join(folder, 'tokenizer.json'),
      configPath: at('tokenizer_config.json'),
      specialTokensMapPath: at('special_tokens_map.json'),
    }),
  );
}

test.each([
  ['unigram-bytes', 'a\nb', '259 262 13 263'],
  ['unigram-bytes', 'hi 🍣', '260 259 243 162 144 166'],
  ['bpe-whitespace', 'naïve café', '30 33'],
  ['single-word', 'category', '105 103 122 107 109 117 120 127'],
  ['split-mergedwithprevious', 'a.c', '8 5'],
  ['split-mergedwithnext', 'a.c', '3 9'],
  ['lowercase-sigma', 'ΣΑΣ ΟΣ', '11 13'],
  ['wsplit-bom', 'x \ufeffy', '3 8'],
  ['flags-in-config', 'a</tool>  b', '103 4 104'],
])('%s: %j', (name, text, ids) => {
  expect(Array.from(load(name).encode(text, { addSpecialTokens: true })).join(' ')).toBe(ids);
});

test('flags of the configuration are heeded when a text is decoded, too', () => {
  const pipeline = load('flags-in-config');
  const table = new TokenTable(buildTokenTable(pipeline, pipeline.definition.json.decoder));
  expect(table.decode([4, 104], true)).toBe('b');
});

test('an added token that only the configuration has is one', () => {
  const ids = load('decoder-only-in-config').encode('x<|end|>', { addSpecialTokens: false });
  expect(Array.from(ids)).toEqual([126, 262]);
});

test('special_tokens_map.json names special tokens', () => {
  expect(load('bos-in-special-map').definition.specialTokens).toMatchObject({ bos: '<s>', eos: '</s>' });
});

test.each([
  ['unigram-bytes', 'a</s>b', 2],
  ['ignore-merges-special', 'EOS', 3],
])('%s: %j in a content never becomes a control token', (name, text, id) => {
  const pipeline = load(name);
  expect(Array.from(pipeline.encodeSegments([{ text, content: true }]))).not.toContain(id);
  expect(Array.from(pipeline.encodeSegments([{ text, content: false }]))).toContain(id);
});

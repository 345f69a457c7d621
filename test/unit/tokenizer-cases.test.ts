/** Small vocabularies after bug reports of other engines, with the ids of the reference. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { buildTokenTable } from '../../lib/tokenizer/build-token-table.js';
import { ChatTemplate } from '../../lib/tokenizer/chat-template.js';
import { EncodingPipeline } from '../../lib/tokenizer/encoding-pipeline.js';
import { definitionFromGguf } from '../../lib/tokenizer/gguf-vocabulary.js';
import { TokenTable } from '../../lib/tokenizer/token-table.js';
import { definitionFromFiles } from '../../lib/tokenizer/tokenizer-files.js';
import { metadataArrayOf } from './packed-strings.js';

const path = fileURLToPath(new URL('../fixtures/tokenizer-cases/inputs.json', import.meta.url));
const inputs = JSON.parse(readFileSync(path, 'utf8')) as Record<string, Record<string, unknown>>;
const scratch = mkdtempSync(join(tmpdir(), 'kvasir-tokenizer-cases-'));
afterAll(() => rmSync(scratch, { recursive: true }));

function load(name: string): EncodingPipeline {
  const folder = mkdtempSync(join(scratch, `${name}-`));
  // Those of templates alone share a vocabulary.
  const files = { 'tokenizer.json': inputs['bos-in-special-map']!['tokenizer.json'], ...inputs[name]! };
  for (const [file, content] of Object.entries(files)) {
    writeFileSync(join(folder, file), typeof content === 'string' ? content : JSON.stringify(content));
  }
  const at = (file: string) => (file in files ? join(folder, file) : undefined);
  return new EncodingPipeline(
    definitionFromFiles({
      kind: 'tokenizer-json',
      path: join(folder, 'tokenizer.json'),
      configPath: at('tokenizer_config.json'),
      specialTokensMapPath: at('special_tokens_map.json'),
      chatTemplatePath: at('chat_template.jinja'),
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

describe('a conversation of one message', () => {
  function chat(pipeline: EncodingPipeline, content: string): { text: string; ids: number[] } {
    const { chatTemplates, specialTokens } = pipeline.definition;
    const segments = new ChatTemplate(chatTemplates, specialTokens).render([{ role: 'user', content }], {});
    return {
      text: segments.map(({ text }) => text).join(''),
      ids: Array.from(pipeline.encodeSegments(segments)),
    };
  }

  test.each([
    ['think-special', '<think>why</think>yes', '<|user|>yes', '5 127 107 121'],
    ['decoder-only-in-config', 'x', 'x<|end|>', '126 262'],
    ['bos-in-special-map', 'x', '<s><|user|>x</s>', '1 4 126 2'],
    ['tmpl-crlf', 'x', '<|user|>x\n', '4 126 16'],
    ['tmpl-undef-loop', 'hi', 'hi', '110 111'],
    ['tmpl-method', 'hi', 'user: hi', '123 121 107 120 64 38 110 111'],
    ['tmpl-list-eq', 'hi', 'NOSYS hi', '84 85 89 95 89 38 110 111'],
    ['tmpl-documents', 'hi', 'hi', '110 111'],
  ])('%s: %j', (name, content, text, ids) => {
    const got = chat(load(name), content);
    expect([got.text, got.ids.join(' ')]).toEqual([text, ids]);
  });

  test.each([
    ['unigram-bytes', 'a</s>b', 2, '<s>a</s>b</s>'],
    ['ignore-merges-special', 'EOS', 3, '<s>EOS</s>'],
  ])('%s: %j has no id %i inside of it', (name, content, id, text) => {
    const got = chat(load(name), content);
    expect(got.text).toBe(text);
    expect(got.ids.slice(1, -1)).not.toContain(id);
    expect(got.ids.length).toBeGreaterThan(2);
  });

  test('tmpl-strftime: the date of today as Python writes it', () => {
    const { text } = chat(load('tmpl-strftime'), 'x');
    const [day, month] = ['Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday', '[A-Z][a-z]{2,8}'];
    expect(text).toMatch(new RegExp(`^(${day}), [1-9]\\d? ${month} \\d{4} (0[1-9]|1[0-2]):[0-5]\\d [AP]M$`));
  });

  test('g-tmpl-crlf: line ends of a GGUF template', () => {
    const { json } = load('tmpl-crlf').definition;
    const tokens = Object.keys(json.model.vocab as object);
    const metadata = {
      'tokenizer.ggml.model': 'gpt2',
      'tokenizer.ggml.tokens': tokens,
      'tokenizer.ggml.merges': [],
      'tokenizer.chat_template': inputs['tmpl-crlf']!['chat_template.jinja'] as string,
    };
    const metadataArray = metadataArrayOf({ tokens, merges: [] });
    expect(chat(new EncodingPipeline(definitionFromGguf({ metadata, metadataArray })), 'x').text).toBe(
      '<|user|>x\n',
    );
  });
});

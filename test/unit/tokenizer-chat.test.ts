import { describe, expect, test } from 'vitest';
import { Random } from '../../lib/generation/random.js';
import { AddedTokenSplitter } from '../../lib/tokenizer/added-tokens.js';
import type { ChatMessage } from '../../lib/tokenizer/chat-messages.js';
import { ChatTemplate } from '../../lib/tokenizer/chat-template.js';
import type { AddedTokenEntry, TokenizerDefinition } from '../../lib/tokenizer/definition.js';
import { EncodingPipeline } from '../../lib/tokenizer/encoding-pipeline.js';
import { definitionFromGguf } from '../../lib/tokenizer/gguf-vocabulary.js';
import { metadataArrayOf } from './packed-strings.js';

describe('a chat', () => {
  /** One token per character; special tokens and one added token that is not special. */
  function definition(normalizer: TokenizerDefinition['json']['normalizer'] = null): TokenizerDefinition {
    const vocab: Record<string, number> = {};
    // As many as there are ids, so that added tokens are numbered from 200 on.
    for (let code = 0; code < 200; ++code) {
      vocab[code >= 0x20 && code < 0x7f ? String.fromCharCode(code) : `<unused ${code}>`] = code;
    }
    const added = [
      { id: 200, content: '<|end|>', special: true },
      { id: 201, content: '<s>', special: true, normalized: normalizer !== null },
      { id: 202, content: '<tool>', special: false },
    ];
    return {
      json: {
        added_tokens: added.map((token) => ({ lstrip: false, rstrip: false, ...token })),
        normalizer,
        pre_tokenizer: null,
        post_processor: null,
        decoder: { type: 'Fuse' },
        model: { type: 'BPE', vocab, merges: [] },
      },
      specialTokens: { bos: '<s>' },
      chatTemplates: [
        {
          name: 'default',
          template:
            "{% for m in messages %}{% if loop.first and m['role'] != 'system' %}{{ bos_token }}{% endif %}" +
            "{{ m['role'] + ': ' + (m['content'] | trim) }}{% if '?' in m['content'] %}{{ '!' }}{% endif %}{{ '<|end|>' }}" +
            "{% endfor %}{{ tools and (tools | length) or '' }}",
        },
        { name: 'tool_use', template: "{% for t in tools %}{{ t['name'] }}{% endfor %}{{ '<|end|>' }}" },
      ],
    };
  }

  function encode(messages: object[], tools?: object[], from = definition()): number[] {
    const pipeline = new EncodingPipeline(from);
    const template = new ChatTemplate(from.chatTemplates, from.specialTokens);
    return Array.from(pipeline.encodeSegments(template.render(messages as ChatMessage[], { tools })));
  }

  const spelled = (text: string): number[] => Array.from(text, (character) => character.charCodeAt(0));

  test('keeps what the template does with contents, and the template its special tokens', () => {
    expect(encode([{ role: 'user', content: '  why?  ' }])).toEqual([201, ...spelled('user: why?!'), 200]);
    expect(encode([{ role: 'user', content: ' <|end|>? ' }])).toEqual([
      201,
      ...spelled('user: <|end|>?!'),
      200,
    ]);
  });

  test('takes special tokens nowhere in a message or a tool, and added tokens that are not special everywhere', () => {
    const content = 'a<s><|end|>b<tool>';
    const body = [...spelled('a<s><|end|>b'), 202];
    expect(encode([{ role: 'user', content }])).toEqual([201, ...spelled('user: '), ...body, 200]);
    expect(encode([{ role: 'user', content: '' }], [{ name: content }])).toEqual([...body, 200]);
    expect(() => encode([{ role: '<s>', content: '' }])).toThrow(/knows no role '<s>'/);
  });

  test('takes none that a normalizer would make', () => {
    const lowercase = definition({ type: 'Lowercase' });
    expect(encode([{ role: 'user', content: '<S>' }], undefined, lowercase)).toEqual([
      201,
      ...spelled('user: <s>'),
      200,
    ]);
    // In raw text the reference takes it.
    const raw = new EncodingPipeline(lowercase).encode('<S>', { addSpecialTokens: false });
    expect(Array.from(raw)).toEqual([201]);
  });
});

describe('with many special tokens', () => {
  test('added tokens are found as the definition says: the longest, from left to right', () => {
    const random = new Random(9);
    const word = (longest: number) =>
      Array.from(
        { length: 1 + Math.floor(random.uniform() * longest) },
        () => 'ab<'[Math.floor(random.uniform() * 3)]!,
      ).join('');
    for (let round = 0; round < 300; ++round) {
      const spellings = Array.from({ length: 6 }, () => word(4));
      const entries = spellings.map((content, id): [string, AddedTokenEntry] => [
        content,
        { id, content, lstrip: false, rstrip: false, normalized: false, special: true },
      ]);
      const splitter = new AddedTokenSplitter(entries);
      const text = word(30);
      const found = [...splitter.split(text)].flatMap(({ start, end, token }) =>
        token ? [token.id] : Array.from<string | number>(text.slice(start, end)),
      );
      const expected: (string | number)[] = [];
      for (let at = 0; at < text.length; ) {
        const fitting = spellings.filter((spelling) => text.startsWith(spelling, at));
        const longest = fitting.reduce((best, one) => (one.length > best.length ? one : best), '');
        expected.push(longest === '' ? text[at]! : spellings.indexOf(longest));
        at += longest.length || 1;
      }
      expect(found).toEqual(expected);
    }
  });

  // It took minutes: every token was compared with all before it, and with all of them at every "<" of a text.
  test('128,000 of them take seconds, not minutes', () => {
    const count = 128_000;
    const tokens = Array.from({ length: count }, (_, i) =>
      i < 256 ? String.fromCharCode(i + 256) : `<|control_${i}|>`,
    );
    const types = Float64Array.from({ length: count }, (_, i) => (i < 256 ? 1 : 3));
    const arrays: Record<string, string[] | Float64Array> = { tokens, token_type: types, merges: [] };
    const started = performance.now();
    const pipeline = new EncodingPipeline(
      definitionFromGguf({
        metadata: {
          'tokenizer.ggml.model': 'gpt2',
          'tokenizer.ggml.tokens': 'array',
          'tokenizer.ggml.token_type': 'array',
          'tokenizer.ggml.merges': 'array',
        },
        metadataArray: metadataArrayOf(arrays),
      }),
    );
    const text = `${'<|control_'.repeat(20_000)}<|control_127999|>`;
    const ids = pipeline.encode(text, { addSpecialTokens: false });
    expect(ids.at(-1)).toBe(127_999);
    // As content it is the same text without the token.
    const content = pipeline.encodeSegments([{ text: '<|control_127999|>', content: true }]);
    expect(content).not.toContain(127_999);
    expect(performance.now() - started).toBeLessThan(15_000);
  }, 60_000);
});

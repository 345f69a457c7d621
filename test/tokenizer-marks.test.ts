import { describe, expect, test } from 'vitest';
import { ChatTemplate } from '../lib/tokenizer/chat-template.js';
import { markText, markValue, removeMarks, SpecialSpellings } from '../lib/tokenizer/content-marks.js';
import type { TokenizerDefinition } from '../lib/tokenizer/definition.js';
import { EncodingPipeline } from '../lib/tokenizer/encoding-pipeline.js';

const specials = ['<|end|>', '<s>', '</s>', '§'];
const spellings = new SpecialSpellings(specials);

describe('marking', () => {
  const marks = spellings.createMarks();
  const marked = (text: string): string => markText(text, spellings, marks);

  test.each([[''], ['plain text'], ['a < b, c > d, x|y'], ['<tag>'], ['ends with |'], [' spaces ']])(
    'leaves %j alone',
    (text) => {
      expect(marked(text)).toBe(text);
    },
  );

  test.each([['<|end|>'], ['a<s>b</s>'], ['<s<s>>'], ['<<s>'], ['§'], ['<|end|><|end|>'], ['a §§ b']])(
    'no special token is whole in %j, and nothing is lost',
    (text) => {
      for (const special of specials) expect(marked(text)).not.toContain(special);
      expect(removeMarks(marked(text), marks)).toBe(text);
    },
  );

  test('no two contents side by side make one, trimmed or not', () => {
    const halves = ['<|end|>', '<s>', '</s>'].flatMap((special) =>
      Array.from({ length: special.length - 1 }, (_, i) => [special.slice(0, i + 1), special.slice(i + 1)]),
    );
    for (const [left, right] of halves) {
      for (const rendered of [
        marked(left!) + marked(right!),
        marked(`x${left}  `).trim() + marked(`  ${right}`).trim(),
      ]) {
        for (const special of specials) expect(rendered).not.toContain(special);
        expect(removeMarks(rendered, marks)).toContain(left! + right!);
      }
      // Nor with what the template itself writes beside it.
      for (const special of specials) {
        expect(marked(left!) + right).not.toContain(special);
        expect(left + marked(right!)).not.toContain(special);
      }
    }
  });

  test('reaches every string, however deep, and no key', () => {
    const value = { '<s>': ['<s>', { deep: '<s>' }], number: 3, nothing: null, yes: true };
    const result = markValue(value, spellings, marks) as typeof value;
    expect(Object.keys(result)).toEqual(['<s>', 'number', 'nothing', 'yes']);
    expect(JSON.stringify(result['<s>'])).not.toContain('<s>');
    expect([result.number, result.nothing, result.yes]).toEqual([3, null, true]);
  });

  test('a mark cannot be guessed', () => {
    expect(spellings.createMarks().mark).not.toBe(marks.mark);
    expect(marks.mark).toHaveLength(12);
  });
});

describe('a chat', () => {
  /** One token per character; special tokens and one added token that is not special. */
  function definition(normalizer: TokenizerDefinition['json']['normalizer'] = null): TokenizerDefinition {
    const vocab: Record<string, number> = {};
    for (let code = 0x20; code < 0x7f; ++code) vocab[String.fromCharCode(code)] = code;
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
    const known = new SpecialSpellings(
      from.json.added_tokens.filter((token) => token.special).map((token) => token.content),
    );
    const marks = known.createMarks();
    const text = template.render(markValue(messages, known, marks), {
      tools: tools && markValue(tools, known, marks),
    });
    return Array.from(pipeline.encode(text, { addSpecialTokens: false, marks }));
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
    expect(encode([{ role: '<s>', content: '' }])).toEqual([201, ...spelled('<s>: '), 200]);
    expect(encode([], [{ name: content }])).toEqual([...body, 200]);
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

/** The template language against `transformers` (goldens of scripts/goldens/chat_templates.py), its budget, and provenance. */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { contentValue, messageValue } from '../../lib/templates/conversation.js';
import { LimitReached, TemplateFailure } from '../../lib/templates/failure.js';
import { Template } from '../../lib/templates/template.js';
import { type Segment, Text } from '../../lib/templates/text.js';
import { List, type Value } from '../../lib/templates/values.js';
import { strftime } from '../../lib/templates/strftime.js';

const folder = new URL('../fixtures/chat-templates/', import.meta.url);
const read = (path: string): string => readFileSync(fileURLToPath(new URL(path, folder)), 'utf8');
/** When the goldens were made, by their clock. */
const now = new Date(2026, 6, 4, 15, 7, 9, 123);

type Golden = { text?: string; error?: string };

function values(given: Record<string, unknown>): Map<string, Value> {
  return new Map(Object.entries(given).map(([name, value]) => [name, contentValue(value, name)]));
}

function textOf(segments: readonly Segment[]): string {
  return segments.map(({ text }) => text).join('');
}

/** The text, or the name of Python's error. */
function outcome(render: () => Segment[]): Golden {
  try {
    return { text: textOf(render()) };
  } catch (failure) {
    if (failure instanceof TemplateFailure) return { error: failure.kind };
    throw failure;
  }
}

describe('snippets', () => {
  interface Snippet extends Golden {
    name: string;
    template: string;
    values?: Record<string, unknown>;
  }
  const snippets = JSON.parse(read('snippets.json')) as Snippet[];
  /** What the reference can and we cannot. */
  const refused = ['encode', 'block', 'wordwrap', 'pprint'];

  test.each(snippets.filter(({ name }) => !refused.includes(name)))('$name', (snippet) => {
    const got = outcome(() => new Template(snippet.template).render(values(snippet.values ?? {}), { now }));
    if (snippet.text === undefined) expect(got.error).toBeDefined();
    else expect(got).toEqual({ text: snippet.text });
  });

  test('what is refused is refused by name and line', () => {
    const names = { encode: 'str.encode', block: "'block'", wordwrap: "'wordwrap'", pprint: "'pprint'" };
    for (const name of refused) {
      const { template } = snippets.find((one) => one.name === name)!;
      const run = (): unknown => new Template(`\n${template}`).render(new Map());
      expect(run).toThrow(`${names[name as keyof typeof names]} is not supported`);
      try {
        run();
      } catch (failure) {
        expect((failure as TemplateFailure).line).toBe(2);
      }
    }
  });
});

describe('templates of our own', () => {
  interface Conversation {
    messages: Record<string, unknown>[];
    tools?: unknown[];
    documents?: unknown[];
    addGenerationPrompt?: boolean;
    variables?: Record<string, unknown>;
  }
  const conversations = JSON.parse(read('conversations.json')) as Record<string, Conversation>;
  const rendered = JSON.parse(read('rendered.json')) as Record<string, Record<string, Golden>>;

  test.each(readdirSync(new URL('templates', folder)))('%s renders every conversation alike', (file) => {
    const template = new Template(read(`templates/${file}`));
    for (const [name, one] of Object.entries(conversations)) {
      const given = values({
        ...one.variables,
        tools: one.tools ?? null,
        documents: one.documents ?? null,
        add_generation_prompt: one.addGenerationPrompt ?? true,
      });
      const messages = one.messages.map((message, i) => messageValue(message, i));
      for (const message of messages) {
        // The reference prints parts as a list.
        const content = message.get(Text.of('content'));
        if (content instanceof List) content.isParts = false;
      }
      given.set('messages', new List(messages));
      given.set('bos_token', Text.of('<s>')).set('eos_token', Text.of('</s>'));
      const got = outcome(() => template.render(given, { now }));
      const golden = rendered[file]![name]!;
      expect(got, `${file}, ${name}`).toEqual(golden);
    }
  });
});

describe('what came from the conversation', () => {
  const content = 'a<b>\'"\\ é🍣\n';
  const given = { c: content, d: { k: content }, l: [content, 'zz'] };

  /** Template text in brackets is the template's; all else must be content. */
  test.each([
    ['[{{ c }}]', `[${content}]`],
    ["[{{ c ~ ']' ~ c }}", `[${content}]${content}`],
    ["{{ c.split('<')[1] }}", content.split('<')[1]!],
    ['{{ c|trim }}', content.trim()],
    ['{{ c[1:3] }}', 'ab>'.slice(1, 1) + content.slice(1, 3)],
    ['{{ c[::-1] }}', [...content].reverse().join('')],
    ["{{ c.replace('a', '[x]') }}", `[x]${content.slice(1)}`],
    ["{{ '[%s]'|format(c) }}", `[${content}]`],
    ["{{ '[{}]'.format(c) }}", `[${content}]`],
    ["{{ l|join('[,]') }}", `${content}[,]zz`],
    ['{{ l|map("upper")|first }}', content.toUpperCase()],
    ['{{ c|indent(first=true)|trim }}', content.trim()],
    ['{% for x in c %}{{ x }}{% endfor %}', content],
    ['{% for k in d %}{{ d[k] }}{% endfor %}', content],
    ['{% set x %}{{ c }}{% endset %}{{ x }}', content],
    [
      '{% macro m(x) %}{{ x }}{{ caller() }}{% endmacro %}{% call m(c) %}{{ c }}{% endcall %}',
      content + content,
    ],
    ["{% set ns = namespace(x='') %}{% set ns.x = ns.x + c %}{{ ns.x }}", content],
    ['{{ c.partition("<")|join }}', content],
    ['{{ c|list|join }}', content],
    ['{{ l|sort|last }}', 'zz'],
    ['{{ c.title() }}', 'A<B>\'"\\ É🍣\n'],
    ['{{ c|replace("zzz", "[y]") }}', content],
    ['{{ d.items()|first|last }}', content],
    ['{{ (c, 1)[0] }}', content],
    ['{{ l|groupby(0)|map(attribute="list")|first|first }}', content],
  ])('%s', (template, expected) => {
    const segments = new Template(template).render(values(given));
    expect(textOf(segments)).toBe(expected);
    for (const { text, content: isContent } of segments) {
      if (!isContent) expect(text).toMatch(/^(\[|\]|\[,\]|\[x\])+$/);
    }
  });

  test("inside of printed and serialized data only the punctuation is the template's", () => {
    for (const template of [
      '{{ d|tojson }}',
      '{{ d }}',
      '{{ l|tojson(indent=2) }}',
      '{{ [c, [c]]|string }}',
    ]) {
      const segments = new Template(template).render(values(given));
      const written = segments.filter((one) => !one.content).map(({ text }) => text);
      expect(written.join('')).toMatch(/^[[\]{}:,"' \n]+$/);
      expect(textOf(segments)).toContain('a<b>');
    }
  });

  test('a literal of the template in a content is still content', () => {
    const template = "{{ '<end>' if '<end>' in c }}{{ c.split('<end>')|last }}{{ c }}";
    expect(new Template(template).render(values({ c: 'x<end>y' }))).toEqual([
      { text: '<end>', content: false },
      { text: 'yx<end>y', content: true },
    ]);
  });
});

describe('the budget ends', () => {
  const chain = (call: string, count: number): string => `{{ 'a'${call.repeat(count)} }}`;
  const grown = (start: string, step: string, end: string): string =>
    `{% set ns = namespace(x=${start}) %}{% for i in range(100) %}{% set ns.x = ${step} %}{% endfor %}${end}`;

  test.each([
    ['a long range', '{% for i in range(1000000000) %}{% endfor %}x'],
    ['loops in loops', '{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}'],
    [
      'a macro that calls itself twice',
      '{% macro m(n) %}{{ m(n + 1) }}{{ m(n + 1) }}{% endmacro %}{{ m(0) }}',
    ],
    [
      'a macro that ends late',
      '{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(40) }}',
    ],
    ['a recursive loop', '{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}'],
    ['replacing by more', chain(".replace('a', 'aaaaaaaaaa')", 30)],
    ['doubling a string', grown("'a'", 'ns.x ~ ns.x', '{{ ns.x }}')],
    ['doubling a list', grown('[1]', 'ns.x + ns.x', 'x')],
    ['lists in lists as JSON', grown('[1]', '[ns.x, ns.x]', '{{ ns.x|tojson }}')],
    ['lists in lists printed', grown('[1]', '[ns.x, ns.x]', '{{ ns.x }}')],
    ['lists in lists compared', grown('[1]', '[ns.x, ns.x]', '{{ ns.x == ns.x + [] }}{{ ns.x|tojson }}')],
    ['tuples in tuples as a key', grown('(1,)', '(ns.x, ns.x)', '{{ {ns.x: 1} }}')],
    ['a long repetition', "{{ 'a' * 10000000000 }}"],
    ['a huge number', '{{ 9 ** 999999 }}'],
    ['a growing number', grown('3', 'ns.x * ns.x', '{{ ns.x }}')],
    ['a wide format', "{{ '%9999999999d' % 1 }}"],
    ['a precise format', "{{ '{:.99999999f}'.format(1.5) }}"],
    ['a wide field', "{{ 'a'|center(10000000000) }}"],
    ['many batches', "{{ [1]|batch(1000000000, 'x')|list }}"],
    ['parentheses', `{{ ${'('.repeat(100_000)}1${')'.repeat(100_000)} }}`],
    ['negations', `{{ ${'not '.repeat(100_000)}1 }}`],
    ['blocks', '{% if 1 %}'.repeat(10_000)],
    ['a sum of many', `{{ 1${'+1'.repeat(20_000)} }}`],
    ['fields of fields', `{{ [0]${'[0]'.repeat(20_000)} }}`],
  ])('%s', (_name, template) => {
    expect(() => new Template(template).render(new Map())).toThrow(LimitReached);
  });

  test('where it says so, with line and construct', () => {
    try {
      new Template("a\n\n{{ 'x' * 10000000000 }}").render(new Map());
      expect.fail('it should have ended');
    } catch (failure) {
      expect(failure).toMatchObject({ line: 3, construct: 'operator *' });
    }
  });

  test('patterns take no quadratic time on long texts', () => {
    const started = performance.now();
    const spaces = ' '.repeat(200_000);
    const render = (template: string, c: string): unknown => new Template(template).render(values({ c }));
    render(`${spaces}x{%- if true %}{% endif %}`, '');
    render('{{ c|int }}{{ c|float }}{{ c|trim|length }}{{ c.split()|length }}', `1${spaces}1`);
    render('{{ c|striptags|length }}{{ c|title|length }}{{ c|urlencode|length }}', '<'.repeat(200_000));
    render('{{ c|striptags|length }}', '<!--'.repeat(100_000));
    expect(performance.now() - started).toBeLessThan(20_000);
  });
});

test('strftime tells seconds since 1970', () => {
  expect(strftime('%s', now)).toBe(String(Math.floor(now.getTime() / 1000)));
});

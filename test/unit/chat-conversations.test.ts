/** Conversations through a model's chat template: what is left out is refused, and content never becomes a control token. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { ChatMessage, ChatTemplateOptions } from '../../lib/tokenizer/chat-messages.js';
import { checkMessages, checkTemplateOptions } from '../../lib/tokenizer/chat-messages.js';
import { ChatTemplate } from '../../lib/tokenizer/chat-template.js';
import { Tokenizer } from '../../lib/tokenizer/tokenizer.js';

function render(template: string, messages: unknown[], options: ChatTemplateOptions = {}): string {
  const chats = new ChatTemplate([{ name: 'default', template }], { bos: '<s>', eos: '</s>' });
  const segments = chats.render(checkMessages(messages as ChatMessage[]), checkTemplateOptions(options));
  return segments.map(({ text }) => text).join('');
}

const user = (content: unknown): Record<string, unknown> => ({ role: 'user', content });
const plain = '{% for m in messages %}{{ m.role }}:{{ m.content }};{% endfor %}';
const invalid = { code: 'INVALID_OPTION' };

describe('templates that other engines got wrong', () => {
  test.each([
    ['line ends', '{% for m in messages %}\r\n<|user|>{{ m.content }}\r\n{% endfor %}', '<|user|>x\n'],
    [
      'loops over what is not there',
      '{% for m in messages %}{% for c in m.tool_calls %}C{% endfor %}{{ m.content }}{% endfor %}',
      'x',
    ],
    ['str.format', "{% for m in messages %}{{ '{}: {}'.format(m.role, m.content) }}{% endfor %}", 'user: x'],
    [
      'equal lists',
      "{% set l = [] %}{% for m in messages if m.role == 'system' %}{% set l = l + [m] %}{% endfor %}" +
        '{% if l == [] %}NOSYS {% endif %}{{ messages[0].content }}',
      'NOSYS x',
    ],
    ['no documents', '{% if documents is not none %}DOCS{% endif %}{{ messages[0].content }}', 'x'],
  ])('%s', (_name, template, expected) => {
    expect(render(template, [user('x')])).toBe(expected);
  });
});

describe('what a template leaves out is refused', () => {
  const tools = [{ type: 'function', function: { name: 'f' } }];

  test('tools', () => {
    expect(() => render(plain, [user('x')], { tools })).toThrow(/leaves out the tools/);
    expect(render(`${plain}{{ tools|length }}`, [user('x')], { tools })).toBe('user:x;1');
    // It looks at them and prints nothing of them.
    expect(() => render(`{% if tools %}{% endif %}${plain}`, [user('x')], { tools })).toThrow(/tools/);
    expect(render(plain, [user('x')], { tools: [] })).toBe('user:x;');
  });

  test('documents', () => {
    const documents = [{ title: 'A', text: 'a' }];
    expect(() => render(plain, [user('x')], { documents })).toThrow(/leaves out the documents/);
    expect(render(`${plain}{{ documents[0].title }}`, [user('x')], { documents })).toBe('user:x;A');
  });

  test('system messages, read or not', () => {
    const conversation = [{ role: 'system', content: 'Be terse.' }, user('x')];
    const blind = "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}{% endfor %}";
    const reading = `{% set s = messages[0].content %}${blind}`;
    expect(() => render(blind, conversation)).toThrow(
      /leaves out the message of the role 'system' \(entry 0\)/,
    );
    expect(() => render(reading, conversation)).toThrow(/leaves out messages of the role 'system'/);
    expect(render(plain, conversation)).toBe('system:Be terse.;user:x;');
    // It shows in another form.
    expect(render('{{ messages[0].content|upper }}{{ messages[1].content }}', conversation)).toBe(
      'BE TERSE.x',
    );
    expect(render(blind, [{ role: 'system', content: ' ' }, user('x')])).toBe('x');
  });

  test('messages of a role that it skips, and roles that nobody knows', () => {
    const skipping = "{% for m in messages if m.role != 'tool' %}{{ m.content }}{% endfor %}";
    expect(() => render(skipping, [user('x'), { role: 'tool', content: 'y' }])).toThrow(
      /role 'tool' \(entry 1\)/,
    );
    expect(() => render(plain, [{ role: 'wizard', content: 'x' }])).toThrow(/knows no role 'wizard'/);
    expect(() => render(plain, [{ role: '<s>', content: 'x' }])).toThrow(/knows no role '<s>'/);
    const known = `{% if messages[0].role == 'wizard' %}!{% endif %}${plain}`;
    expect(render(known, [{ role: 'wizard', content: 'x' }])).toBe('!wizard:x;');
  });
});

describe('contents', () => {
  const parts = [
    { type: 'text', text: 'a' },
    { type: 'text', text: 'b' },
  ];

  test('in parts are flattened where the template would print or refuse the list', () => {
    expect(render(plain, [user(parts)])).toBe('user:a\nb;');
    expect(render('{{ messages[0].content + "!" }}', [user(parts)])).toBe('a\nb!');
    expect(render('{{ messages[0].content|trim }}', [user(parts)])).toBe('a\nb');
    const knowing = '{% for p in messages[0].content %}[{{ p.text }}]{% endfor %}';
    expect(render(knowing, [user(parts)])).toBe('[a][b]');
    expect(() => render(plain, [user([...parts, { type: 'image' }])])).toThrow(/no part of type 'image'/);
  });

  test('that are null are not there, and reasoning has every name', () => {
    expect(render('{{ messages[0].content is defined }}', [{ role: 'user', content: null }])).toBe('False');
    for (const name of ['reasoning', 'thinking', 'reasoning_content']) {
      const message = { role: 'assistant', content: 'x', [name]: 'why' };
      expect(render('{{ messages[0].thinking }}{{ messages[0].reasoning_content }}', [message])).toBe(
        'whywhy',
      );
    }
  });

  test('variables reach the template; options that are none are refused', () => {
    const template = `${plain}{{ enable_thinking }}`;
    expect(render(template, [user('x')], { variables: { enable_thinking: false } })).toBe('user:x;False');
    const wrong = (options: object) => () => render(plain, [user('x')], options as ChatTemplateOptions);
    expect(wrong({ enable_thinking: false })).toThrow(/enable_thinking/);
    expect(wrong({ tools: {} })).toThrow(/tools is \{\}; it must be a list/);
    expect(wrong({ documents: ['a'] })).toThrow(/documents is \["a"\]; it must be a list of objects/);
    expect(wrong({ addGenerationPrompt: 1 })).toThrow(/addGenerationPrompt/);
    expect(wrong({ variables: 1 })).toThrow(/variables/);
  });

  test('that are no plain data are refused', () => {
    const circle: Record<string, unknown> = { role: 'user', content: 'x' };
    circle.self = circle;
    for (const message of [
      circle,
      user([null]),
      user(5),
      user([{ text: 'x' }]),
      null,
      'x',
      { content: 'x' },
    ]) {
      expect(() => render(plain, [message])).toThrow(expect.objectContaining(invalid));
    }
    expect(() => render(plain, [{ ...user('x'), call: () => 1 }])).toThrow(expect.objectContaining(invalid));
    expect(() => render(plain, [])).toThrow(expect.objectContaining(invalid));
  });
});

test('errors name the place, and what is at fault', () => {
  expect(() => render('\n{{ 1 + nothing }}', [user('x')])).toThrow(
    expect.objectContaining({
      ...invalid,
      message: expect.stringContaining("line 2, operator +): 'nothing' is undefined"),
    }),
  );
  expect(() => render("{{ raise_exception('No!') }}", [user('x')])).toThrow(/refuses this conversation.*No!/);
  expect(() => render('\n\n{% if %}', [user('x')])).toThrow(
    expect.objectContaining({ code: 'MODEL_FORMAT', message: expect.stringContaining('line 3') }),
  );
  expect(() => render('{% for i in range(1000000000) %}{% endfor %}', [user('x')])).toThrow(
    expect.objectContaining({
      code: 'LIMIT_EXCEEDED',
      message: expect.stringContaining("template 'default', line 1"),
    }),
  );
});

describe('a tokenizer', () => {
  /** One token for each character; special tokens in the definition, or in a file of their own. */
  async function withTokenizer(
    template: string,
    run: (tokenizer: Tokenizer) => Promise<void>,
  ): Promise<void> {
    const folder = mkdtempSync(join(tmpdir(), 'kvasir-chat-'));
    const vocab: Record<string, number> = {};
    // As many as there are ids, so that added tokens are numbered from 200 on.
    for (let id = 0; id < 200; ++id) vocab[id < 0x7f ? String.fromCharCode(id) : `[${id}]`] = id;
    const special = ['<s>', '</s>', '<|user|>', '<think>', '</think>', 'EOS'];
    const definition = {
      added_tokens: special.map((content, i) => ({ id: 200 + i, content, special: true })),
      model: { type: 'BPE', vocab, merges: [] },
      decoder: { type: 'Fuse' },
    };
    const write = (name: string, content: object): string => {
      writeFileSync(join(folder, name), JSON.stringify(content));
      return join(folder, name);
    };
    const path = write('tokenizer.json', definition);
    const configPath = write('tokenizer_config.json', { chat_template: template });
    const specialTokensMapPath = write('special_tokens_map.json', {
      bos_token: '<s>',
      eos_token: { content: '</s>' },
    });
    const tokenizer = await Tokenizer.load({
      kind: 'tokenizer-json',
      path,
      configPath,
      specialTokensMapPath,
    });
    try {
      await run(tokenizer);
    } finally {
      await tokenizer.dispose();
      rmSync(folder, { recursive: true });
    }
  }

  const spelled = (text: string): number[] => Array.from(text, (character) => character.charCodeAt(0));

  test('renders and encodes alike what the template cuts out of a content', async () => {
    const template =
      "{% for m in messages %}<|user|>{% if '</think>' in m.content %}{{ m.content.split('</think>')[-1] }}" +
      '{% else %}{{ m.content }}{% endif %}{% endfor %}';
    await withTokenizer(template, async (tokenizer) => {
      const messages: ChatMessage[] = [{ role: 'user', content: '<think>why</think>yes' }];
      expect(tokenizer.applyChatTemplate(messages)).toBe('<|user|>yes');
      expect(await tokenizer.applyChatTemplateAsync(messages)).toBe('<|user|>yes');
      expect(Array.from(await tokenizer.encodeChat(messages))).toEqual([202, ...spelled('yes')]);
    });
  });

  test('reads special tokens from their own file, and takes none from content', async () => {
    const template =
      '{{ bos_token }}{% for m in messages %}<|user|>{{ m.content }}{% endfor %}{{ eos_token }}';
    await withTokenizer(template, async (tokenizer) => {
      for (const content of ['x', 'a</s>b', 'EOS', '<|user|>', '<s>', '</s', '|user|>', 'E', '<think>']) {
        const messages: ChatMessage[] = [{ role: 'user', content }];
        expect(tokenizer.applyChatTemplate(messages)).toBe(`<s><|user|>${content}</s>`);
        expect(Array.from(await tokenizer.encodeChat(messages))).toEqual([
          200,
          202,
          ...spelled(content),
          201,
        ]);
      }
    });
  });

  test('puts no token together of what the template and what the conversation wrote', async () => {
    const template =
      "{% for m in messages %}{{ '<|' + m.name + '|>' + m.content }}OS{{ m.content }}{% endfor %}";
    await withTokenizer(template, async (tokenizer) => {
      const messages: ChatMessage[] = [{ role: 'user', name: 'user', content: 'E' }];
      expect(Array.from(await tokenizer.encodeChat(messages))).toEqual(spelled('<|user|>EOSE'));
    });
  });

  test('rejects what it cannot render and goes on', async () => {
    await withTokenizer(
      '{{ messages[0].content }}{{ raise_exception("no") if messages|length > 1 }}',
      async (tokenizer) => {
        const one: ChatMessage = { role: 'user', content: 'x' };
        await expect(tokenizer.applyChatTemplateAsync([one, one])).rejects.toMatchObject(invalid);
        await expect(tokenizer.encodeChat([one, one])).rejects.toMatchObject(invalid);
        expect(() => tokenizer.applyChatTemplate([one, one])).toThrow(expect.objectContaining(invalid));
        await expect(
          tokenizer.applyChatTemplateAsync([one], { signal: AbortSignal.abort(new Error('gone')) }),
        ).rejects.toThrow('gone');
        expect(tokenizer.applyChatTemplate([one])).toBe('x');
      },
    );
  });
});

// Random content: texts with what tokenizers stumble over, JSON values, templates.

const pieces = [
  ...[
    'Hello',
    ' ',
    'a',
    'aaaa',
    '\n',
    '\r\n',
    '\t',
    '  ',
    '\u00a0',
    '\ufeff',
    '\u0085',
    '\u2028',
    '\0',
    '\u200d',
  ],
  ...[
    'é',
    'e\u0301',
    'ß',
    'İ',
    'Σ',
    '中文',
    '🍣',
    '👩‍👩‍👧',
    '\ud83c',
    '\udf63',
    '\u0301\u0301',
    '\u{10ffff}',
    'ﷺ',
  ],
  ...['<s>', '</s>', '<|im_start|>', '<|endoftext|>', '<0x0A>', '▁', 'Ġ', '##', '{{', '{%', '%}', "{{ '"],
  ...['0', '123456789', '-1', '1e308', "'s", '"', '\\', '/', '=', '.', ',', '_', '\u0e01\u0e33', 'नमस्ते'],
];

/** Of up to `most` pieces; now and then one of them many times. */
export function randomText(random, most) {
  let text = '';
  for (const piece of random.several(most, () => random.pick(pieces))) {
    text += random.chance(0.03) ? piece.repeat(random.pick([10, 100, 2000])) : piece;
  }
  return text;
}

const numbers = [
  0,
  -0,
  1,
  -1,
  0.5,
  1.5,
  2,
  7,
  64,
  512,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32,
  2 ** 53,
  1e308,
  -1e308,
  1e-300,
];

/** A JSON value. */
export function randomValue(random, depth) {
  const scalar = [
    () => random.pick(numbers),
    () => random.between(-3, 300),
    () => randomText(random, 4),
    () =>
      random.pick(['', 'llama', 'gelu', 'silu', 'BPE', 'float32', 'ByteLevel', 'default', 'x'.repeat(5000)]),
    () => random.pick([true, false, null]),
  ];
  const nested = [
    () => random.several(4, () => randomValue(random, depth - 1)),
    () =>
      Object.fromEntries(
        random.several(4, () => [
          random.pick(['type', 'value', 'content', '__proto__', 'id', randomText(random, 2)]),
          randomValue(random, depth - 1),
        ]),
      ),
    () => new Array(random.pick([10, 1000])).fill(random.pick(numbers)),
  ];
  return random.pick(depth > 0 && random.chance(0.4) ? nested : scalar)();
}

const expressions = [
  ...[
    'm.content',
    "m['role']",
    'messages|length',
    'messages[0].content',
    'loop.index',
    'bos_token',
    'tools',
    'x',
  ],
  ...[
    'm.content|trim|upper',
    "m.content.split(' ')|join(', ')",
    'm|tojson',
    'm.content * 3',
    "'%s' % m.role",
  ],
  ...['m.content[::-1]', 'range(5)|list', 'namespace(a=1).a', 'm.content is string', 'x is defined', '1 / 0'],
  ...[
    'm.content|replace("a", "aa")',
    'messages|map(attribute="content")|list',
    'raise_exception("no")',
    '2 ** 100',
  ],
  ...[
    'range(1000000000)',
    'm.content|indent(4)',
    '"{}".format(m)',
    'm.items()|list',
    'strftime_now("%Y")',
    'f(3)',
  ],
];

function randomStatement(random, depth) {
  const e = () => random.pick(expressions);
  const inner = () => randomBody(random, depth - 1);
  return random.pick([
    () => `{{ ${e()} }}`,
    () => `{{ ${e()} ~ ${e()} }}`,
    () => `{% if ${e()} %}${inner()}{% else %}${inner()}{% endif %}`,
    () =>
      `{% for i in ${random.pick(['range(3)', 'messages', 'm.content', 'range(100000)', e()])} %}${inner()}{% endfor %}`,
    () => `{% set x = ${e()} %}`,
    () => `{% set x %}${inner()}{% endset %}`,
    () => `{% macro f(a) %}${inner()}{{ f(a) + f(a) if a else a }}{% endmacro %}`,
    () => `{% filter upper %}${inner()}{% endfilter %}`,
    () =>
      random.pick(['{#', '{%', '{{', '{% endfor %}', '{% break %}', '{%- raw %}', 'text\n', '<|im_start|>']),
  ])();
}

function randomBody(random, depth) {
  if (depth <= 0) return random.pick(['x', '{{ m.content }}', '']);
  return random.several(3, () => randomStatement(random, depth)).join('');
}

export function randomTemplate(random) {
  const body = randomBody(random, 3);
  return random.chance(0.7)
    ? `{% for m in messages %}{{ m.role }}: {{ m.content }}${body}{% endfor %}`
    : `{% set m = messages[0] %}${body}`;
}

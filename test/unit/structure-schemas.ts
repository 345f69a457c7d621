/** Schemas with instances and with values that are none. */
export interface SchemaCase {
  name: string;
  schema: unknown;
  valid: unknown[];
  invalid: unknown[];
}

const closed = (properties: object, required: string[] = []) => ({
  type: 'object',
  properties,
  required,
  additionalProperties: false,
});

export const schemaCases: SchemaCase[] = [
  {
    name: 'anything',
    schema: true,
    valid: [1, 'a', null, [], {}, { a: [1, { b: -0.5e-7 }] }, '"\\\n\u0001é😀'],
    invalid: [],
  },
  { name: 'any object', schema: { type: 'object' }, valid: [{}, { a: 1, b: { c: [] } }], invalid: [1, []] },
  {
    name: 'required and optional members',
    schema: closed({ a: { type: 'string' }, b: { type: 'integer' }, c: { type: 'boolean' } }, ['b']),
    valid: [{ b: 1 }, { a: '', b: 2 }, { b: 3, c: true }, { a: 'x', b: 4, c: false }],
    invalid: [{}, { a: 'x' }, { b: 1.5 }, { b: 1, d: 1 }, { a: 1, b: 1 }],
  },
  {
    name: 'members that are not declared',
    schema: {
      type: 'object',
      properties: { a: { type: 'string' }, 'a"é': {} },
      additionalProperties: { type: 'number' },
    },
    valid: [{}, { a: 'x', b: 1 }, { b: 1, ab: 2 }, { 'a"é': [] }],
    invalid: [{ a: 1 }, { b: 'x' }],
  },
  {
    name: 'pattern members',
    schema: {
      type: 'object',
      patternProperties: { '^x-': { type: 'string' }, '[0-9]$': { type: 'integer' } },
      additionalProperties: false,
    },
    valid: [{}, { 'x-a': 'b' }, { a1: 2, 'x-': '' }],
    invalid: [{ y: 1 }, { 'x-a': 1 }, { a1: 'b' }],
  },
  {
    name: 'names of members',
    schema: { type: 'object', propertyNames: { pattern: '^[a-c]+$', maxLength: 3 } },
    valid: [{}, { abc: 1 }],
    invalid: [{ d: 1 }, { abca: 1 }],
  },
  {
    name: 'counted members',
    schema: {
      type: 'object',
      properties: { a: {}, b: {}, c: {} },
      minProperties: 2,
      maxProperties: 2,
      additionalProperties: false,
    },
    valid: [
      { a: 1, b: 2 },
      { b: 1, c: 2 },
    ],
    invalid: [{ a: 1 }, { a: 1, b: 2, c: 3 }],
  },
  {
    name: 'maps',
    schema: { type: 'object', additionalProperties: { type: 'integer' }, minProperties: 1, maxProperties: 3 },
    valid: [{ a: 1 }, { a: 1, b: 2, c: 3 }],
    invalid: [{}, { a: 1, b: 2, c: 3, d: 4 }, { a: 'x' }],
  },
  {
    name: 'arrays',
    schema: { type: 'array', items: { type: 'integer' }, minItems: 1, maxItems: 3 },
    valid: [[1], [1, 2, 3]],
    invalid: [[], [1, 2, 3, 4], ['a']],
  },
  {
    name: 'long arrays of bounded strings',
    schema: { type: 'array', items: closed({ s: { type: 'string', maxLength: 1000 } }), maxItems: 500 },
    valid: [[], [{ s: 'é😀"' }, {}], Array.from({ length: 500 }, () => ({}))],
    invalid: [Array.from({ length: 501 }, () => ({}))],
  },
  {
    name: 'tuples',
    schema: {
      type: 'array',
      prefixItems: [{ type: 'string' }, { type: 'number' }],
      items: false,
      minItems: 1,
    },
    valid: [['a'], ['a', 1.5]],
    invalid: [[], [1], ['a', 1, 2]],
  },
  {
    name: 'open tuples',
    schema: { type: 'array', prefixItems: [{ type: 'string' }], items: { type: 'null' }, maxItems: 3 },
    valid: [[], ['a'], ['a', null, null]],
    invalid: [
      ['a', 1],
      ['a', null, null, null],
    ],
  },
  {
    name: 'distinct items',
    schema: { type: 'array', items: { enum: ['a', 'b', 1] }, uniqueItems: true, minItems: 1 },
    valid: [['a'], [1, 'b', 'a']],
    invalid: [[], ['a', 'a'], ['c']],
  },
  {
    name: 'a tree',
    schema: {
      $ref: '#/$defs/node',
      $defs: {
        node: closed(
          { value: { type: 'integer' }, children: { type: 'array', items: { $ref: '#/$defs/node' } } },
          ['value'],
        ),
      },
    },
    valid: [
      { value: 1 },
      {
        value: 1,
        children: [
          { value: 2, children: [] },
          { value: 3, children: [{ value: 4 }] },
        ],
      },
    ],
    invalid: [{}, { value: 1, children: [{}] }],
  },
  {
    name: 'anyOf with siblings',
    schema: {
      type: 'object',
      properties: { k: { type: 'string' } },
      anyOf: [{ required: ['k'] }, { properties: { n: { type: 'integer' } }, required: ['n'] }],
    },
    valid: [{ k: 'a' }, { n: 1 }, { k: 'a', n: 1 }],
    invalid: [{}, { n: 'a' }, { k: 1 }],
  },
  {
    name: 'oneOf by a tag',
    schema: {
      oneOf: [
        closed({ kind: { const: 'circle' }, r: { type: 'number' } }, ['kind', 'r']),
        closed({ kind: { const: 'square' }, w: { type: 'number' } }, ['kind', 'w']),
      ],
    },
    valid: [
      { kind: 'circle', r: 1 },
      { kind: 'square', w: 2.5 },
    ],
    invalid: [{ kind: 'circle', w: 1 }, { kind: 'other' }],
  },
  {
    name: 'oneOf by types',
    schema: { oneOf: [{ type: 'string' }, { type: 'integer' }, { type: 'null' }] },
    valid: ['a', 3, null],
    invalid: [true, 1.5],
  },
  {
    name: 'allOf',
    schema: {
      allOf: [
        { type: 'object', properties: { a: { type: 'number', minimum: 0 } }, required: ['a'] },
        { properties: { a: { maximum: 9 }, b: { type: 'string' } } },
      ],
    },
    valid: [{ a: 3 }, { a: 0, b: 'x' }],
    invalid: [{}, { a: 10 }, { a: -1 }, { a: 1, b: 2 }],
  },
  {
    name: 'enum',
    schema: { enum: ['a', 'a"b', 1, null, { x: [1] }] },
    valid: ['a', 'a"b', 1, null, { x: [1] }],
    invalid: ['b', 2, { x: [] }],
  },
  {
    name: 'enum beside a type',
    schema: { type: ['string', 'null'], enum: ['a', 1, null, 'abc'], maxLength: 2 },
    valid: ['a', null],
    invalid: [1, 'abc'],
  },
  {
    name: 'types',
    schema: { type: ['integer', 'boolean'] },
    valid: [1, -20, true],
    invalid: ['a', 1.5, null],
  },
  {
    name: 'lengths',
    schema: { type: 'string', minLength: 2, maxLength: 4 },
    valid: ['ab', 'é😀é', '\n"\\a'],
    invalid: ['a', 'abcde', '😀'],
  },
  {
    name: 'pattern',
    schema: { type: 'string', pattern: '^[a-z]+"?$' },
    valid: ['a', 'abc"'],
    invalid: ['', 'A', 'a""'],
  },
  {
    name: 'a pattern somewhere',
    schema: { type: 'string', pattern: 'a\\d' },
    valid: ['a1', 'xa2"y\n'],
    invalid: ['a', '1a'],
  },
  {
    name: 'pattern and length',
    schema: { type: 'string', pattern: '^[a-z-]+$', minLength: 2, maxLength: 3 },
    valid: ['ab', 'a-c'],
    invalid: ['a', 'abcd', 'A1'],
  },
  {
    name: 'two patterns',
    schema: { type: 'string', allOf: [{ pattern: '^[ab]+$' }, { pattern: 'aa' }] },
    valid: ['aa', 'baab'],
    invalid: ['ab', 'aac'],
  },
  ...(
    [
      ['date', ['2024-02-29', '1999-12-31'], ['2023-02-29', '2024-13-01', '2024-1-01']],
      ['time', ['12:34:56Z', '00:00:00.5+02:00'], ['24:00:00Z', '12:34']],
      [
        'date-time',
        ['2024-01-01T00:00:00Z', '2000-02-29T23:59:59.123-08:00'],
        ['2024-01-01', '2024-01-01T25:00:00Z'],
      ],
      ['duration', ['P1D', 'PT5M', 'P1Y2M3DT4H'], ['P', '1D']],
      [
        'uuid',
        ['123e4567-e89b-12d3-a456-426614174000'],
        ['123e4567', 'g23e4567-e89b-12d3-a456-426614174000'],
      ],
      ['email', ['a@b.co', 'first.last+x@sub.example.org'], ['a', 'a@', '@b.co']],
      ['ipv4', ['0.0.0.0', '192.168.1.255'], ['256.1.1.1', '1.2.3']],
      [
        'ipv6',
        ['::', '::1', '2001:db8::ff00:42:8329', '1:2:3:4:5:6:7:8', '::ffff:1.2.3.4'],
        ['1:2', 'g::', '1::2::3'],
      ],
      ['hostname', ['example.com', 'a-b.c'], ['-a.com', 'a..b']],
      ['uri', ['https://example.com/a?b=c#d', 'mailto:a@b.c'], ['example.com', '://x']],
      ['json-pointer', ['', '/a/b~0~1'], ['a', '/a~2']],
    ] as const
  ).map(
    ([format, valid, invalid]): SchemaCase => ({
      name: `format ${format}`,
      schema: { type: 'string', format },
      valid: [...valid],
      invalid: [...invalid],
    }),
  ),
  { name: 'integers', schema: { type: 'integer' }, valid: [0, -1, 123456789012], invalid: [0.5, '1'] },
  {
    name: 'integers from 0',
    schema: { type: 'integer', minimum: 0 },
    valid: [0, 10, 999],
    invalid: [-1, 0.5],
  },
  {
    name: 'integers between',
    schema: { type: 'integer', minimum: -12, maximum: 150 },
    valid: [-12, -9, -1, 0, 9, 10, 99, 100, 149, 150],
    invalid: [-13, -100, 151, 200, 1000],
  },
  {
    name: 'integers below',
    schema: { type: 'integer', exclusiveMaximum: -5 },
    valid: [-6, -10, -1000],
    invalid: [-5, 0, 7],
  },
  {
    name: 'numbers between',
    schema: { type: 'number', minimum: 0.25, maximum: 10 },
    valid: [0.25, 0.3, 0.250001, 1, 9.999, 10],
    invalid: [0.2, 0.2499, 0, 10.001, 11, -1],
  },
  {
    name: 'numbers between, exclusively',
    schema: { type: 'number', exclusiveMinimum: -1.5, exclusiveMaximum: 2 },
    valid: [-1.499, -1, -0.5, 0, 1.999],
    invalid: [-1.5, -2, 2, 2.1],
  },
  {
    name: 'multiples',
    schema: { type: 'integer', multipleOf: 7 },
    valid: [0, 7, -14, 7007],
    invalid: [1, 10, -13],
  },
  {
    name: 'multiples between',
    schema: { type: 'number', multipleOf: 5, minimum: -7, exclusiveMaximum: 20 },
    valid: [-5, 0, 15],
    invalid: [-10, 20, 3],
  },
  {
    name: 'an integer format',
    schema: { type: 'integer', format: 'int32' },
    valid: [0, 2147483647, -2147483648],
    invalid: [],
  },
  {
    name: 'keywords of another type',
    schema: { minLength: 3, maximum: 5 },
    valid: ['abc', 5, null, [1], {}],
    invalid: ['ab', 6],
  },
  {
    name: 'not of types',
    schema: { not: { type: ['string', 'object'] } },
    valid: [1, [], null],
    invalid: ['a', {}],
  },
  {
    name: 'anchors',
    schema: {
      type: 'object',
      properties: { a: { $ref: '#it' } },
      $defs: { x: { $anchor: 'it', type: 'integer' } },
    },
    valid: [{ a: 1 }, {}],
    invalid: [{ a: 'b' }],
  },
  {
    name: 'a tool',
    schema: {
      title: 'search',
      description: 'Finds things',
      ...closed(
        {
          query: { type: 'string', description: 'what' },
          limit: { type: 'integer', minimum: 1, maximum: 50, default: 10 },
          sort: { enum: ['asc', 'desc'] },
        },
        ['query'],
      ),
    },
    valid: [{ query: 'a' }, { query: '', limit: 50, sort: 'asc' }],
    invalid: [{ limit: 1 }, { query: 'a', limit: 51 }, { query: 'a', sort: 'up' }],
  },
];

/**
 * 300 schemas of the kinds that applications ask for, from a seed: definitions of tools, configuration files and responses of
 * APIs, each with a way to make instances in declared order. A few have what cannot be enforced, as real ones do.
 */

type Random = () => number;
/** A schema and its instances. */
interface Kind {
  schema: Record<string, unknown>;
  make(random: Random): unknown;
}

const pick = <T>(random: Random, list: readonly T[]): T => list[Math.floor(random() * list.length)];
const upTo = (random: Random, most: number): number => Math.floor(random() * (most + 1));
const words = [
  'alpha',
  'Größe',
  'two words',
  'x',
  'quote " here',
  'back\\slash',
  'naïve',
  '東京',
  'a/b',
  'tab\tbed',
  '',
];
const letters = (random: Random, alphabet: string, count: number): string =>
  Array.from({ length: count }, () => pick(random, [...alphabet])).join('');
const digits = (random: Random, count: number): string => letters(random, '0123456789', count);

const text = (more: Record<string, unknown> = {}): Kind => ({
  schema: { type: 'string', ...more },
  make: (random) => pick(random, words),
});
const described = (description: string, { schema, make }: Kind): Kind => ({
  schema: { ...schema, description },
  make,
});
const oneOf = (...values: unknown[]): Kind => ({
  schema: { enum: values },
  make: (random) => pick(random, values),
});
const named = (...values: string[]): Kind => ({
  schema: { type: 'string', enum: values },
  make: (random) => pick(random, values),
});
const integer = (minimum: number, maximum: number): Kind => ({
  schema: { type: 'integer', minimum, maximum },
  make: (random) => minimum + upTo(random, maximum - minimum),
});
const flag: Kind = { schema: { type: 'boolean', default: false }, make: (random) => random() < 0.5 };
const amount: Kind = {
  schema: { type: 'number', minimum: 0 },
  make: (random) => Number((random() * 10 ** upTo(random, 5)).toFixed(upTo(random, 3))),
};
const formatted = (format: string, make: (random: Random) => string): Kind => ({
  schema: { type: 'string', format },
  make,
});
const hex = (random: Random, count: number): string => letters(random, '0123456789abcdef', count);
const uuid = formatted('uuid', (r) => `${hex(r, 8)}-${hex(r, 4)}-4${hex(r, 3)}-a${hex(r, 3)}-${hex(r, 12)}`);
const email = formatted(
  'email',
  (r) => `${letters(r, 'abcxyz', 5)}.${digits(r, 2)}@${letters(r, 'mnop', 4)}.example.org`,
);
const date = formatted('date', (r) => `20${digits(r, 2)}-0${1 + upTo(r, 8)}-1${digits(r, 1)}`);
const moment = formatted(
  'date-time',
  (r) =>
    `20${digits(r, 2)}-11-2${digits(r, 1)}T1${digits(r, 1)}:3${digits(r, 1)}:0${digits(r, 1)}${pick(r, ['Z', '.25Z', '+02:00'])}`,
);
const address = formatted('ipv4', (r) => `10.${upTo(r, 255)}.${upTo(r, 255)}.1`);
const link = formatted('uri', (r) => `https://example.org/${letters(r, 'abc', 4)}?page=${upTo(r, 9)}#top`);
const code = (pattern: string, make: (random: Random) => string): Kind => ({
  schema: { type: 'string', pattern },
  make,
});
const country = code('^[A-Z]{2}$', (r) => letters(r, 'ABCDEFG', 2));
const key = code(
  '^(usr|org)_[a-z0-9]{8,16}$',
  (r) => `${pick(r, ['usr', 'org'])}_${letters(r, 'abc019', 8 + upTo(r, 8))}`,
);
const version = code(
  '^\\d+\\.\\d+\\.\\d+(-[a-z]+)?$',
  (r) => `${digits(r, 1)}.${digits(r, 2)}.3${pick(r, ['', '-beta'])}`,
);
const limited = (least: number, most: number): Kind => ({
  schema: { type: 'string', minLength: least, maxLength: most },
  make: (r) => letters(r, 'aé 😀"\\z', least + upTo(r, Math.min(12, most - least))),
});

const list = (item: Kind, least = 0, most?: number): Kind => ({
  schema: {
    type: 'array',
    items: item.schema,
    ...(least > 0 ? { minItems: least } : {}),
    ...(most === undefined ? {} : { maxItems: most }),
  },
  make: (r) => Array.from({ length: least + upTo(r, Math.min(3, (most ?? 9) - least)) }, () => item.make(r)),
});
const pair = (first: Kind, second: Kind): Kind => ({
  schema: { type: 'array', prefixItems: [first.schema, second.schema], items: false, minItems: 2 },
  make: (r) => [first.make(r), second.make(r)],
});
const map = (value: Kind, pattern?: string): Kind => ({
  schema: pattern
    ? { type: 'object', patternProperties: { [pattern]: value.schema }, additionalProperties: false }
    : { type: 'object', additionalProperties: value.schema },
  make: (r) =>
    Object.fromEntries(
      Array.from({ length: upTo(r, 3) }, (_, i) => [
        `${pick(r, ['KEY', 'OTHER_NAME'])}_${'ABCD'[i]}`,
        value.make(r),
      ]),
    ),
});
const maybe = ({ schema, make }: Kind): Kind => ({
  schema: { anyOf: [schema, { type: 'null' }] },
  make: (r) => (r() < 0.3 ? null : make(r)),
});
const nullable = (kind: string, { make }: Kind): Kind => ({
  schema: { type: [kind, 'null'] },
  make: (r) => (r() < 0.3 ? null : make(r)),
});

type Fields = Record<string, Kind>;
/** @param required of each, as a share */
function object(random: Random, fields: Fields, { closed = true, required = 0.6 } = {}): Kind {
  const names = Object.keys(fields);
  const needed = names.filter(() => random() < required);
  const properties = Object.fromEntries(names.map((name) => [name, fields[name].schema]));
  const schema: Record<string, unknown> = { type: 'object', properties };
  if (needed.length > 0) schema.required = needed;
  if (closed) schema.additionalProperties = false;
  return {
    schema,
    make: (r) =>
      Object.fromEntries(
        names
          .filter((name) => needed.includes(name) || r() < 0.5)
          .map((name) => [name, fields[name].make(r)]),
      ),
  };
}

/** Told apart by a constant member. */
function tagged(
  random: Random,
  tag: string,
  kinds: Record<string, Fields>,
  keyword: 'oneOf' | 'anyOf',
): Kind {
  const branches = Object.entries(kinds).map(([value, fields]) => {
    const constant: Kind = { schema: { const: value }, make: () => value };
    const branch = object(random, { [tag]: constant, ...fields });
    branch.schema.required = [...new Set([tag, ...((branch.schema.required as string[]) ?? [])])];
    return { ...branch, make: (r: Random) => ({ [tag]: value, ...(branch.make(r) as object) }) };
  });
  return {
    schema: { [keyword]: branches.map(({ schema }) => schema) },
    make: (r) => pick(r, branches).make(r),
  };
}

/** A node with children of its own kind. */
function tree(random: Random, fields: Fields, name: string): Kind {
  const node = object(random, fields);
  const properties = {
    ...(node.schema.properties as object),
    children: { type: 'array', items: { $ref: `#/$defs/${name}` } },
  };
  const make = (r: Random, depth: number): unknown => ({
    ...(node.make(r) as object),
    children: Array.from({ length: depth > 0 ? upTo(r, 2) : 0 }, () => make(r, depth - 1)),
  });
  const required = [...((node.schema.required as string[]) ?? []), 'children'];
  return {
    schema: { $ref: `#/$defs/${name}`, $defs: { [name]: { ...node.schema, properties, required } } },
    make: (r) => make(r, 2),
  };
}

const place = (random: Random): Kind =>
  object(random, {
    street: text(),
    city: limited(1, 60),
    zip: code('^\\d{5}(-\\d{4})?$', (r) => digits(r, 5)),
    country,
  });
const point: Kind = pair(
  { schema: { type: 'number', minimum: -90, maximum: 90 }, make: (r) => upTo(r, 90) - 0.5 },
  { schema: { type: 'number', minimum: -180, maximum: 180 }, make: (r) => -upTo(r, 180) },
);

/** What a field of each name is. */
const library = (r: Random): Fields => ({
  query: described('What to look for.', text()),
  limit: integer(1, 10 + upTo(r, 90)),
  offset: { schema: { type: 'integer', minimum: 0 }, make: (q) => upTo(q, 5000) },
  sort: named('asc', 'desc'),
  id: pick(r, [uuid, key, integer(1, 99_999)]),
  email,
  when: pick(r, [date, moment]),
  language: named('en', 'de', 'ja', 'pt-BR'),
  unit: oneOf('celsius', 'fahrenheit'),
  tags: list(pick(r, [text(), named('new', 'sale', 'used'), limited(1, 20)]), 0, 5),
  price: amount,
  count: integer(0, 1000),
  ratio: { schema: { type: 'number', minimum: 0, maximum: 1 }, make: (q) => Number(q().toFixed(3)) },
  enabled: flag,
  url: link,
  place: place(r),
  point,
  note: pick(r, [maybe(text()), nullable('string', text()), text({ maxLength: 400 })]),
  priority: oneOf(1, 2, 3),
  version,
  range: object(r, { from: date, to: date }, { required: 1 }),
  labels: map(text()),
  score: nullable('number', amount),
});

function some(random: Random, fields: Fields, least: number, most: number): Fields {
  const names = Object.keys(fields).sort(() => random() - 0.5);
  return Object.fromEntries(
    names.slice(0, least + upTo(random, most - least)).map((name) => [name, fields[name]]),
  );
}

function toolSchema(r: Random): Kind {
  const parameters = object(r, some(r, library(r), 1, 7), { closed: r() < 0.7 });
  return described('Arguments of a function.', parameters);
}

function configurationSchema(r: Random): Kind {
  const step = tagged(
    r,
    'uses',
    {
      checkout: { ref: text(), depth: integer(0, 50) },
      run: { command: limited(1, 200), shell: named('bash', 'sh') },
      cache: { paths: list(text(), 1, 4) },
    },
    pick(r, ['oneOf', 'anyOf']),
  );
  const sections: Fields = {
    version: pick(r, [version, oneOf(1, 2), { schema: { const: '3.8' }, make: () => '3.8' }]),
    server: object(r, {
      host: pick(r, [address, formatted('hostname', () => 'db-1.example.org')]),
      port: integer(1, 65_535),
      tls: flag,
      timeout: formatted('duration', (q) => `PT${1 + upTo(q, 59)}S`),
    }),
    logging: object(r, {
      level: named('debug', 'info', 'warn', 'error'),
      file: maybe(text()),
      rotate: integer(0, 30),
    }),
    environment: map(
      pick(r, [
        text(),
        { schema: { type: ['string', 'number', 'boolean'] }, make: (q) => pick(q, ['x', 1.5, true]) },
      ]),
      '^[A-Z][A-Z0-9_]*$',
    ),
    steps: list(step, 1, 6),
    limits: object(
      r,
      { cpu: amount, memory: code('^[0-9]+(Mi|Gi)$', (q) => `${digits(q, 2)}Gi`), replicas: integer(0, 100) },
      { required: 0 },
    ),
    plugins: list(object(r, { name: limited(1, 30), options: map(text()) }, { required: 1 })),
    features: map(flag),
    schedule: list(
      object(
        r,
        { cron: code('^(\\*|[0-9]+)( (\\*|[0-9]+)){4}$', () => '0 12 * * *'), zone: text() },
        { required: 0.5 },
      ),
      0,
      3,
    ),
    matrix: map(list(text())),
  };
  const whole = object(r, some(r, sections, 2, 6), { closed: r() < 0.6, required: 0.4 });
  return {
    ...whole,
    schema: {
      $schema: 'https://json-schema.org/draft/2020-12/schema',
      title: 'Configuration',
      ...whole.schema,
    },
  };
}

function responseSchema(r: Random): Kind {
  const entity = object(r, some(r, library(r), 3, 8), { closed: r() < 0.7 });
  const error = object(
    r,
    { code: integer(400, 599), message: text(), details: list(text()) },
    { required: 0.7 },
  );
  const page = object(r, { total: integer(0, 9999), next: nullable('string', link), page: integer(1, 500) });
  const kinds: (() => Kind)[] = [
    () => object(r, { data: list(entity, 0, 20), meta: page }, { required: 1 }),
    () => tagged(r, 'status', { ok: { result: entity }, error: { error } }, pick(r, ['oneOf', 'anyOf'])),
    () =>
      tree(
        r,
        { id: integer(1, 9999), author: text(), body: limited(1, 500), likes: integer(0, 99) },
        'comment',
      ),
    () =>
      list(
        tagged(
          r,
          'type',
          {
            created: { at: moment, id: uuid },
            deleted: { at: moment, reason: maybe(text()) },
            moved: { from: point, to: point },
          },
          'oneOf',
        ),
        1,
        10,
      ),
    () =>
      object(r, {
        order: object(r, {
          id: uuid,
          lines: list(
            object(r, {
              sku: code('^[A-Z]{3}-\\d{4}$', (q) => `ABC-${digits(q, 4)}`),
              quantity: integer(1, 99),
              price: amount,
            }),
            1,
            8,
          ),
          ship: place(r),
          bill: maybe(place(r)),
        }),
        paid: flag,
      }),
    () => {
      const [base, more] = [
        object(r, { id: uuid, name: text() }, { closed: false, required: 1 }),
        object(r, { role: named('admin', 'user'), since: date }, { closed: false, required: 1 }),
      ];
      return {
        schema: { allOf: [base.schema, more.schema], unevaluatedProperties: false },
        make: (q) => ({ ...(base.make(q) as object), ...(more.make(q) as object) }),
      };
    },
  ];
  return pick(r, kinds)();
}

/** What cannot be enforced, and stands in real schemas all the same. */
const beyond: Kind[] = [
  {
    schema: { type: 'object', properties: { price: { type: 'number', multipleOf: 0.01 } } },
    make: () => ({ price: 1.25 }),
  },
  { schema: { type: 'array', items: { type: 'string' }, uniqueItems: true }, make: () => ['a', 'b'] },
  { schema: { type: 'string', pattern: '^(?!admin$)[a-z]+$' }, make: () => 'guest' },
  { schema: { type: 'string', format: 'phone' }, make: () => '+47' },
];

export interface AppSchema {
  name: string;
  schema: Record<string, unknown>;
  make(random: Random): unknown;
}

export function appSchemas(seeded: (seed: number) => Random): AppSchema[] {
  const kinds = { tool: toolSchema, configuration: configurationSchema, response: responseSchema };
  const known = new Set<string>();
  /** The first of its seeds that makes another one. */
  const next = (make: (r: Random) => Kind, seed: number): Kind => {
    const kind = make(seeded(seed));
    const written = JSON.stringify(kind.schema);
    if (known.has(written)) return next(make, seed + 104_729);
    known.add(written);
    return kind;
  };
  return Object.entries(kinds).flatMap(([kind, make], of) =>
    Array.from({ length: 100 }, (_, i): AppSchema => {
      const odd = of === 2 && i % 25 === 24 ? beyond[Math.floor(i / 25)] : undefined;
      return { name: `${kind} ${i}`, ...(odd ?? next(make, 1000 * of + i * 7919 + 1)) };
    }),
  );
}

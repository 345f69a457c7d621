/** What a schema does not say: alternatives of which one holds where the schema does not. */
import { type Facts, type JsonType, jsonTypes, type Located, pointer, refused } from './facts.js';
import type { Bound } from './number-ranges.js';
import { isRecord } from './written-types.js';

/** A schema that must not hold. */
export class Negated {
  constructor(readonly located: Located) {}
}

/** A fact that no keyword says. */
export class Atom {
  constructor(readonly apply: (facts: Facts, gather: (located: Located) => void) => void) {}
}

type Span = 'members' | 'count' | 'length';

const ofTypes = (types: readonly JsonType[], apply: (facts: Facts) => void = () => {}) =>
  new Atom((facts) => {
    facts.keepTypes(types);
    apply(facts);
  });
const below = (type: JsonType, span: Span, value: number) =>
  ofTypes(value > 0 ? [type] : [], (facts) => facts.shorten(span, value - 1));
const above = (type: JsonType, span: Span, value: number) =>
  ofTypes([type], (facts) => facts.lengthen(span, value + 1));
const less = (bound: Bound) => ofTypes(['number'], (facts) => facts.lower(bound));
const more = (bound: Bound) => ofTypes(['number'], (facts) => facts.raise(bound));

type Negation = (value: never, path: string, schema: Record<string, unknown>) => unknown[];

function withoutMember(name: string, path: string): Atom {
  return ofTypes(['object'], (facts) => facts.forbid(name, path));
}

function withMember(name: string, located: Located, path: string): Atom {
  return ofTypes(['object'], (facts) => {
    facts.required.add(name);
    facts.layers.push({ path, properties: new Map([[name, located]]), patterns: [], chain: [] });
  });
}

function otherTypes(value: string | string[]): unknown[] {
  const names = [value].flat();
  const number = names.includes('number') || names.includes('integer');
  const others = jsonTypes.filter((type) => !names.includes(type) && !(type === 'number' && number));
  const fraction = ofTypes(['number'], (facts) => {
    facts.fractional = true;
  });
  return names.includes('integer') && !names.includes('number')
    ? [ofTypes(others), fraction]
    : [ofTypes(others)];
}

const exclude = (values: unknown[], path: string) => [
  new Atom((facts) => {
    facts.excluded.push(...values.map((value) => ({ value, path })));
  }),
];
const negated = (schema: unknown, path: string): Located => ({ schema: new Negated({ schema, path }), path });

const negations: Readonly<Record<string, Negation>> = {
  type: otherTypes as Negation,
  const: (value: unknown, path) => exclude([value], path),
  enum: (values: unknown[], path) => exclude(values, path),
  minimum: (value: number) => [less({ value, exclusive: true })],
  maximum: (value: number) => [more({ value, exclusive: true })],
  exclusiveMinimum: (value: number) => [less({ value, exclusive: false })],
  exclusiveMaximum: (value: number) => [more({ value, exclusive: false })],
  minLength: (value: number) => [below('string', 'length', value)],
  maxLength: (value: number) => [above('string', 'length', value)],
  minItems: (value: number) => [below('array', 'count', value)],
  maxItems: (value: number) => [above('array', 'count', value)],
  minProperties: (value: number) => [below('object', 'members', value)],
  maxProperties: (value: number) => [above('object', 'members', value)],
  pattern: (pattern: string, path) => [
    ofTypes(['string'], (facts) => {
      facts.patterns.push({ pattern, path, search: true, negated: true });
    }),
  ],
  required: (names: string[], path) => names.map((name) => withoutMember(name, path)),
  properties: (properties: Record<string, unknown>, path) =>
    Object.entries(properties).map(([name, schema]) =>
      withMember(name, negated(schema, pointer(path, name)), path),
    ),
  items: (schema: unknown, path, { prefixItems }) => {
    if (prefixItems !== undefined) throw refused(path, 'cannot be negated beside prefixItems');
    return [
      ofTypes(['array'], (facts) => {
        facts.contains.push({ located: negated(schema, path), least: 1, most: Number.POSITIVE_INFINITY });
      }),
    ];
  },
  contains: (schema: unknown, path, { minContains, maxContains }) => {
    if ((minContains ?? 1) !== 1 || maxContains !== undefined)
      throw refused(path, 'cannot be negated with counts');
    return [
      ofTypes(['array'], (facts) => {
        facts.items.push({ prefix: [], items: negated(schema, path), chain: [] });
      }),
    ];
  },
  not: (schema: unknown) => [schema],
  anyOf: (branches: unknown[], path) => [
    new Atom((_, gather) => {
      branches.forEach((schema, i) => {
        gather(negated(schema, pointer(path, i)));
      });
    }),
  ],
  allOf: (branches: unknown[], path) =>
    branches.map((schema, i) => new Negated({ schema, path: pointer(path, i) })),
};

/** Throws INVALID_OPTION naming a keyword that cannot be negated. `isAnnotation`: it says nothing. */
export function alternativesOf(
  { schema, path }: Located,
  isAnnotation: (key: string) => boolean,
  resolve: (reference: unknown, from: string) => Located,
): Located[] {
  if (schema instanceof Negated) return [schema.located];
  if (typeof schema === 'boolean') return schema ? [] : [{ schema: true, path }];
  if (!isRecord(schema) || schema instanceof Atom) throw refused(path, 'cannot be negated');
  return Object.entries(schema).flatMap(([key, value]): Located[] => {
    if (isAnnotation(key)) return [];
    const at = pointer(path, key);
    if (key === '$ref') return [{ schema: new Negated(resolve(value, at)), path: at }];
    if (!Object.hasOwn(negations, key)) throw refused(at, 'cannot be negated (by not, if or oneOf)');
    return negations[key](value as never, at, schema).map((one) => ({ schema: one, path: at }));
  });
}

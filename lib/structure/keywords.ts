/** What each keyword of JSON Schema 2020-12 adds to the facts about a value. */
import {
  Facts,
  type JsonType,
  jsonTypes,
  type Located,
  pointer,
  refused,
  typeOf,
  wrongValue,
} from './facts.js';
import { formats, integerFormats, numberFormats } from './formats.js';
import { alternativesOf, Atom, Negated } from './negate.js';
import type { SchemaDocument } from './schema-document.js';
import { isRecord } from './written-types.js';

/** They describe; nothing is to be enforced. */
const annotations = new Set([
  ...[
    '$schema',
    '$id',
    '$anchor',
    '$comment',
    '$defs',
    '$vocabulary',
    'definitions',
    'title',
    'description',
    'default',
  ],
  ...['examples', 'example', 'deprecated', 'readOnly', 'writeOnly', 'contentMediaType', 'contentEncoding'],
  ...['contentSchema', 'externalDocs', 'discriminator', 'xml', 'markdownDescription'],
]);

const deepest = 60;

interface Context {
  facts: Facts;
  document: SchemaDocument;
  schema: Record<string, unknown>;
  /** Of the schema. */
  path: string;
  /** This schema, and those in whose place it stands. */
  chain: readonly unknown[];
}

type Keyword = (context: Context, value: unknown, path: string) => void;

function number(value: unknown, path: string): number {
  if (typeof value !== 'number' || !Number.isFinite(value)) throw wrongValue(path, value, 'a number');
  return value;
}

function countOf(value: unknown, path: string): number {
  if (!Number.isInteger(value) || (value as number) < 0) throw wrongValue(path, value, 'an integer from 0');
  return value as number;
}

function listOf(value: unknown, path: string): Located[] {
  if (!Array.isArray(value) || value.length === 0) throw wrongValue(path, value, 'an array of schemas');
  return value.map((schema, i) => ({ schema, path: pointer(path, i) }));
}

function entriesOf(value: unknown, path: string): [string, Located][] {
  if (!isRecord(value)) throw wrongValue(path, value, 'an object');
  return Object.entries(value).map(([key, schema]) => [key, { schema, path: pointer(path, key) }]);
}

function namesOf(value: unknown, path: string): string[] {
  if (!Array.isArray(value) || value.some((name) => typeof name !== 'string'))
    throw wrongValue(path, value, 'an array of names');
  return value;
}

const least =
  (of: 'members' | 'count' | 'length'): Keyword =>
  ({ facts }, value, path) =>
    facts.lengthen(of, countOf(value, path));
const most =
  (of: 'members' | 'count' | 'length'): Keyword =>
  ({ facts }, value, path) =>
    facts.shorten(of, countOf(value, path));

function readType({ facts, schema }: Context, value: unknown, path: string): void {
  const names = Array.isArray(value) ? value : [value];
  const known = [...jsonTypes, 'integer'];
  if (names.length === 0 || names.some((name) => !known.includes(name as string)))
    throw wrongValue(path, value, `one of ${known.join(', ')} or an array of them`);
  const types = names.map((name): JsonType => (name === 'integer' ? 'number' : name));
  if (schema.nullable === true) types.push('null');
  facts.keepTypes(types);
  if (names.includes('integer') && !names.includes('number')) facts.integer = true;
}

function readFormat({ facts, schema }: Context, value: unknown, path: string): void {
  const format = String(value);
  if (Object.hasOwn(integerFormats, format)) {
    const [low, high] = integerFormats[format];
    facts.raise({ value: low, exclusive: false });
    facts.lower({ value: high, exclusive: false });
  } else if (Object.hasOwn(formats, format)) {
    facts.patterns.push({ pattern: formats[format], path, search: false });
  } else if (!numberFormats.includes(format) || schema.type === 'string') {
    throw refused(
      path,
      `is '${format}', which is not supported; known are ${Object.keys(formats).join(', ')}`,
    );
  }
}

/** `if`, `then` and `else`: one of two things that hold together. */
function readIf({ facts, schema, path: at, chain }: Context, value: unknown, path: string): void {
  if (schema.then === undefined && schema.else === undefined) return;
  const of = (key: string): Located => ({ schema: schema[key] ?? true, path: pointer(at, key) });
  const holds = { schema: value, path };
  const not = { schema: new Negated(holds), path };
  const together = (all: Located[]): Located => ({
    schema: new Atom((_, gather) => {
      for (const one of all) gather(one);
    }),
    path,
  });
  const branches = [together([holds, of('then')]), together([not, of('else')])];
  facts.groups.push({ keyword: 'anyOf', path, branches, chain });
}

/** Where an object has a member, something else holds too. */
function readDependent({ facts, chain }: Context, name: string, then: unknown, path: string): void {
  const others = new Atom((own) => own.keepTypes(jsonTypes.filter((type) => type !== 'object')));
  const without = new Atom((own) => {
    own.keepTypes(['object']);
    own.forbid(name, path);
  });
  // What does not hold evaluates nothing, so the member must be there.
  const there = new Atom((own, gather) => {
    own.keepTypes(['object']);
    own.required.add(name);
    gather({ schema: then, path });
  });
  const branches = [others, without, there].map((schema) => ({ schema, path }));
  facts.groups.push({ keyword: 'anyOf', path, branches, chain });
}

function readContains({ facts, schema }: Context, value: unknown, path: string): void {
  const { minContains = 1, maxContains } = schema;
  facts.contains.push({
    located: { schema: value, path },
    least: countOf(minContains, path),
    most: maxContains === undefined ? Number.POSITIVE_INFINITY : countOf(maxContains, path),
  });
}

function readItems({ facts, schema, path: at, chain }: Context): void {
  const draft7 = Array.isArray(schema.items);
  const prefix = draft7 ? schema.items : schema.prefixItems;
  const rest = draft7 ? 'additionalItems' : 'items';
  facts.items.push({
    prefix: prefix === undefined ? [] : listOf(prefix, pointer(at, draft7 ? 'items' : 'prefixItems')),
    items: schema[rest] === undefined ? undefined : { schema: schema[rest], path: pointer(at, rest) },
    chain,
  });
}

function readMembers({ facts, schema, path, chain }: Context): void {
  const { properties, patternProperties, additionalProperties } = schema;
  const patterns =
    patternProperties === undefined ? [] : entriesOf(patternProperties, pointer(path, 'patternProperties'));
  facts.layers.push({
    path,
    properties: new Map(properties === undefined ? [] : entriesOf(properties, pointer(path, 'properties'))),
    patterns: patterns.map(([pattern, located]) => ({ pattern, located })),
    additional:
      additionalProperties === undefined
        ? undefined
        : { schema: additionalProperties, path: pointer(path, 'additionalProperties') },
    chain,
  });
}

const unevaluated =
  (of: 'members' | 'items'): Keyword =>
  ({ facts, schema: owner, chain }, schema, path) => {
    facts.evaluated.push({ of, owner, chain });
    if (schema !== true) facts.unevaluated.push({ of, located: { schema, path }, owner });
  };

const group =
  (keyword: 'anyOf' | 'oneOf'): Keyword =>
  ({ facts, chain }, value, path) => {
    facts.groups.push({ keyword, path, branches: listOf(value, path), chain });
  };

const byNeighbour: Keyword = () => {};

const keywords: Readonly<Record<string, Keyword>> = {
  type: readType,
  nullable: byNeighbour,
  enum: ({ facts }, value, path) => {
    if (!Array.isArray(value)) throw wrongValue(path, value, 'an array of values');
    facts.keepValues(value);
  },
  const: ({ facts }, value) => facts.keepValues([value]),
  allOf: (context, value, path) => {
    for (const one of listOf(value, path)) gatherInto(context.facts, one, context.document, context.chain);
  },
  $ref: (context, value, path) =>
    gatherInto(context.facts, context.document.resolve(value, path), context.document, context.chain),
  $dynamicRef: (context, value, path) =>
    gatherInto(context.facts, context.document.resolve(value, path, true), context.document, context.chain),
  $dynamicAnchor: byNeighbour,
  anyOf: group('anyOf'),
  oneOf: group('oneOf'),
  not: (context, value, path) => {
    const not = new Negated({ schema: value, path });
    gatherInto(context.facts, { schema: not, path }, context.document, context.chain);
  },
  if: readIf,
  // biome-ignore lint/suspicious/noThenProperty: the keyword's name; nobody awaits the table
  then: byNeighbour,
  else: byNeighbour,
  dependentRequired: (context, value, path) => {
    for (const [name, { schema, path: at }] of entriesOf(value, path))
      readDependent(context, name, { required: namesOf(schema, at) }, at);
  },
  dependentSchemas: (context, value, path) => {
    for (const [name, { schema, path: at }] of entriesOf(value, path))
      readDependent(context, name, schema, at);
  },
  contains: readContains,
  minContains: byNeighbour,
  maxContains: byNeighbour,
  unevaluatedProperties: unevaluated('members'),
  unevaluatedItems: unevaluated('items'),
  required: ({ facts }, value, path) => {
    for (const name of namesOf(value, path)) facts.required.add(name);
  },
  propertyNames: ({ facts }, schema, path) => facts.propertyNames.push({ schema, path }),
  minProperties: least('members'),
  maxProperties: most('members'),
  minItems: least('count'),
  maxItems: most('count'),
  minLength: least('length'),
  maxLength: most('length'),
  uniqueItems: ({ facts }, value, path) => {
    if (typeof value !== 'boolean') throw wrongValue(path, value, 'true or false');
    if (value) facts.unique = path;
  },
  pattern: ({ facts }, value, path) => {
    if (typeof value !== 'string') throw wrongValue(path, value, 'a string');
    facts.patterns.push({ pattern: value, path, search: true });
  },
  format: readFormat,
  minimum: ({ facts, schema }, value, path) =>
    facts.raise({ value: number(value, path), exclusive: schema.exclusiveMinimum === true }),
  maximum: ({ facts, schema }, value, path) =>
    facts.lower({ value: number(value, path), exclusive: schema.exclusiveMaximum === true }),
  exclusiveMinimum: ({ facts }, value, path) => {
    if (typeof value !== 'boolean') facts.raise({ value: number(value, path), exclusive: true });
  },
  exclusiveMaximum: ({ facts }, value, path) => {
    if (typeof value !== 'boolean') facts.lower({ value: number(value, path), exclusive: true });
  },
  multipleOf: ({ facts }, value, path) => {
    if (number(value, path) <= 0) throw wrongValue(path, value, 'a number above 0');
    facts.multiples.push({ value: value as number, path });
  },
};

const itemKeywords = ['prefixItems', 'items', 'additionalItems'];
const memberKeywords = ['properties', 'patternProperties', 'additionalProperties'];

/** Throws INVALID_OPTION naming what is not supported and where. @param around in whose place it stands */
export function gatherInto(
  facts: Facts,
  located: Located,
  document: SchemaDocument,
  around: readonly unknown[] = [],
): void {
  const { schema, path } = located;
  if (facts.grouped.has(schema)) throw refused(path, 'refers to itself through anyOf or oneOf');
  if (schema === true || facts.seen.has(schema)) return;
  if (schema === false) {
    facts.keepTypes([]);
    return;
  }
  if (around.length > deepest) throw refused(path, `refers to others more than ${deepest} deep`);
  if (schema instanceof Atom) {
    schema.apply(facts, (one) => gatherInto(facts, one, document, around));
    return;
  }
  if (schema instanceof Negated) {
    gatherNegated(facts, schema, document, around);
    return;
  }
  if (!isRecord(schema)) throw wrongValue(path, schema, 'a schema: an object, true or false');
  facts.seen.add(schema);
  const context = { facts, document, schema, path, chain: [...around, schema] };
  const groups = facts.groups.length;
  // Members stand in the order in which the text declares them, also beside those of allOf and $ref.
  const membersAt = 'properties' in schema ? 'properties' : memberKeywords.find((key) => key in schema);
  for (const [key, value] of Object.entries(schema)) {
    const at = pointer(path, key);
    if (key === membersAt) readMembers(context);
    if (Object.hasOwn(keywords, key)) keywords[key](context, value, at);
    else if (!isAnnotation(key) && ![...itemKeywords, ...memberKeywords].includes(key))
      throw refused(at, 'is not supported');
  }
  if (itemKeywords.some((key) => key in schema)) readItems(context);
  if (facts.groups.length > groups) facts.grouped.add(schema);
}

function isAnnotation(key: string): boolean {
  return annotations.has(key) || key.startsWith('x-');
}

/** One of the alternatives holds. */
function gatherNegated(
  facts: Facts,
  { located }: Negated,
  document: SchemaDocument,
  around: readonly unknown[],
): void {
  // What is wrong in itself is wrong when it is negated.
  gatherInto(new Facts(), located, document, [...around, located.schema]);
  const resolve = (reference: unknown, from: string) => document.resolve(reference, from);
  const branches = alternativesOf(located, isAnnotation, resolve);
  // What does not hold evaluates nothing.
  const chain = [...around.map(() => undefined), branches];
  if (branches.length === 1) gatherInto(facts, branches[0], document, chain);
  else if (branches.length === 0) facts.keepTypes([]);
  else facts.groups.push({ keyword: 'anyOf', path: located.path, branches, chain });
}

/** What a schema points to when it is a reference and says nothing more. */
export function onlyReference({ schema, path }: Located, document: SchemaDocument): Located | undefined {
  if (!isRecord(schema)) return undefined;
  const [key, ...others] = Object.keys(schema).filter((name) => !isAnnotation(name));
  if (others.length > 0 || (key !== '$ref' && key !== '$dynamicRef')) return undefined;
  return document.resolve(schema[key], pointer(path, key), key === '$dynamicRef');
}

/** Whether a listed value may be what the facts' types allow. */
export function typeFits(facts: Facts, value: unknown): boolean {
  if (!facts.types.has(typeOf(value))) return false;
  return typeof value !== 'number' || !facts.integer || Number.isInteger(value);
}

/** What each keyword of JSON Schema 2020-12 adds to the facts about a value. */
import {
  type Facts,
  type JsonType,
  jsonTypes,
  type Located,
  pointer,
  refused,
  typeOf,
  wrongValue,
} from './facts.js';
import { formats, integerFormats, numberFormats } from './formats.js';
import type { Bound } from './number-ranges.js';
import { isObject, type SchemaDocument } from './schema-document.js';

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
  depth: number;
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
  if (!isObject(value)) throw wrongValue(path, value, 'an object');
  return Object.entries(value).map(([key, schema]) => [key, { schema, path: pointer(path, key) }]);
}

function namesOf(value: unknown, path: string): string[] {
  if (!Array.isArray(value) || value.some((name) => typeof name !== 'string'))
    throw wrongValue(path, value, 'an array of names');
  return value;
}

function raise(facts: Facts, bound: Bound): void {
  const now = facts.least;
  if (!now || bound.value > now.value || (bound.value === now.value && bound.exclusive)) facts.least = bound;
}

function lower(facts: Facts, bound: Bound): void {
  const now = facts.most;
  if (!now || bound.value < now.value || (bound.value === now.value && bound.exclusive)) facts.most = bound;
}

const least =
  (of: 'members' | 'count' | 'length'): Keyword =>
  ({ facts }, value, path) => {
    facts[of] = [Math.max(facts[of][0], countOf(value, path)), facts[of][1]];
  };
const most =
  (of: 'members' | 'count' | 'length'): Keyword =>
  ({ facts }, value, path) => {
    facts[of] = [facts[of][0], Math.min(facts[of][1], countOf(value, path))];
  };

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
    raise(facts, { value: low, exclusive: false });
    lower(facts, { value: high, exclusive: false });
  } else if (Object.hasOwn(formats, format)) {
    facts.patterns.push({ pattern: formats[format], path, search: false });
  } else if (!numberFormats.includes(format) || schema.type === 'string') {
    throw refused(
      path,
      `is '${format}', which is not supported; known are ${Object.keys(formats).join(', ')}`,
    );
  }
}

function readNot({ facts }: Context, value: unknown, path: string): void {
  if (value === false) return;
  const keys = isObject(value) ? Object.keys(value).filter((key) => !annotations.has(key)) : [];
  if (value === true || (isObject(value) && keys.length === 0)) {
    facts.keepTypes([]);
    return;
  }
  const inner = value as Record<string, unknown>;
  if (keys.length === 1 && keys[0] === 'type') {
    const types = [inner.type].flat();
    if (!types.includes('integer')) {
      facts.keepTypes(jsonTypes.filter((type) => !types.includes(type)));
      return;
    }
  }
  if (
    keys.length === 1 &&
    keys[0] === 'required' &&
    Array.isArray(inner.required) &&
    inner.required.length === 1
  ) {
    // Of objects this one member is forbidden; everything else lacks it. Other values than objects satisfy `required`.
    facts.keepTypes(['object']);
    const properties = new Map([[String(inner.required[0]), { schema: false, path }]]);
    facts.layers.push({ path, properties, patterns: [] });
    return;
  }
  throw refused(path, 'is supported only as not of types and of one required member');
}

function readItems({ facts, schema, path: at }: Context): void {
  const draft7 = Array.isArray(schema.items);
  const prefix = draft7 ? schema.items : schema.prefixItems;
  const rest = draft7 ? 'additionalItems' : 'items';
  facts.items.push({
    prefix: prefix === undefined ? [] : listOf(prefix, pointer(at, draft7 ? 'items' : 'prefixItems')),
    items: schema[rest] === undefined ? undefined : { schema: schema[rest], path: pointer(at, rest) },
  });
}

function readMembers({ facts, schema, path }: Context): void {
  const { properties, patternProperties, additionalProperties, unevaluatedProperties } = schema;
  const additional = additionalProperties === undefined ? 'unevaluatedProperties' : 'additionalProperties';
  const layer = {
    path,
    properties: new Map(properties === undefined ? [] : entriesOf(properties, pointer(path, 'properties'))),
    patterns: (patternProperties === undefined
      ? []
      : entriesOf(patternProperties, pointer(path, 'patternProperties'))
    ).map(([pattern, located]) => ({ pattern, located })),
    additional:
      schema[additional] === undefined
        ? undefined
        : { schema: schema[additional], path: pointer(path, additional) },
  };
  if (unevaluatedProperties !== undefined) checkUnevaluated(schema, pointer(path, 'unevaluatedProperties'));
  facts.layers.push(layer);
}

/** Beside what evaluates members elsewhere it would mean more than `additionalProperties`. */
function checkUnevaluated(schema: Record<string, unknown>, path: string): void {
  const beside = ['allOf', 'anyOf', 'oneOf', '$ref', 'additionalProperties'].find((key) => key in schema);
  if (beside) throw refused(path, `is not supported beside ${beside}`);
}

const group =
  (keyword: 'anyOf' | 'oneOf'): Keyword =>
  ({ facts }, value, path) => {
    facts.groups.push({ keyword, path, branches: listOf(value, path) });
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
    for (const one of listOf(value, path))
      gatherInto(context.facts, one, context.document, context.depth + 1);
  },
  $ref: (context, value, path) =>
    gatherInto(context.facts, context.document.resolve(value, path), context.document, context.depth + 1),
  anyOf: group('anyOf'),
  oneOf: group('oneOf'),
  not: readNot,
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
    raise(facts, { value: number(value, path), exclusive: schema.exclusiveMinimum === true }),
  maximum: ({ facts, schema }, value, path) =>
    lower(facts, { value: number(value, path), exclusive: schema.exclusiveMaximum === true }),
  exclusiveMinimum: ({ facts }, value, path) => {
    if (typeof value !== 'boolean') raise(facts, { value: number(value, path), exclusive: true });
  },
  exclusiveMaximum: ({ facts }, value, path) => {
    if (typeof value !== 'boolean') lower(facts, { value: number(value, path), exclusive: true });
  },
  multipleOf: ({ facts }, value, path) => {
    if (number(value, path) <= 0) throw wrongValue(path, value, 'a number above 0');
    facts.multiples.push({ value: value as number, path });
  },
};

const itemKeywords = ['prefixItems', 'items', 'additionalItems'];
const memberKeywords = ['properties', 'patternProperties', 'additionalProperties', 'unevaluatedProperties'];

/** Throws INVALID_OPTION naming what is not supported and where. */
export function gatherInto(facts: Facts, located: Located, document: SchemaDocument, depth = 0): void {
  const { schema, path } = located;
  if (facts.grouped.has(schema)) throw refused(path, 'refers to itself through anyOf or oneOf');
  if (schema === true || facts.seen.has(schema)) return;
  if (schema === false) {
    facts.keepTypes([]);
    return;
  }
  if (!isObject(schema)) throw wrongValue(path, schema, 'a schema: an object, true or false');
  if (depth > deepest) throw refused(path, `refers to others more than ${deepest} deep`);
  facts.seen.add(schema);
  const context = { facts, document, schema, path, depth };
  const groups = facts.groups.length;
  for (const [key, value] of Object.entries(schema)) {
    const at = pointer(path, key);
    if (Object.hasOwn(keywords, key)) keywords[key](context, value, at);
    else if (
      !annotations.has(key) &&
      !key.startsWith('x-') &&
      ![...itemKeywords, ...memberKeywords].includes(key)
    )
      throw refused(at, 'is not supported');
  }
  if (memberKeywords.some((key) => key in schema)) readMembers(context);
  if (itemKeywords.some((key) => key in schema)) readItems(context);
  if (facts.groups.length > groups) facts.grouped.add(schema);
}

/** The reference when a schema is one and says nothing more. */
export function onlyReference(schema: unknown): unknown {
  if (!isObject(schema) || !('$ref' in schema)) return undefined;
  return Object.keys(schema).every((key) => key === '$ref' || annotations.has(key)) ? schema.$ref : undefined;
}

/** Whether a listed value may be what the facts' types allow. */
export function typeFits(facts: Facts, value: unknown): boolean {
  if (!facts.types.has(typeOf(value))) return false;
  return typeof value !== 'number' || !facts.integer || Number.isInteger(value);
}

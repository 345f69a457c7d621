/**
 * What several schemas say together about one value: `allOf`, `$ref` and keywords that stand beside each other are gathered
 * into one account, of which the grammar is made. Nothing is dropped: what has no place in it is refused by name and path.
 */
import { KvasirError } from '../errors.js';
import { cut, show } from '../given.js';
import type { Bound } from './number-ranges.js';

export type JsonType = 'object' | 'array' | 'string' | 'number' | 'boolean' | 'null';
export const jsonTypes: readonly JsonType[] = ['object', 'array', 'string', 'number', 'boolean', 'null'];

/** A schema and where it stands. */
export interface Located {
  schema: unknown;
  /** JSON Pointer, '#/properties/a'. */
  path: string;
}

/** What one schema says of members. */
export interface MemberLayer {
  path: string;
  properties: Map<string, Located>;
  patterns: { pattern: string; located: Located }[];
  /** Absent: anything. */
  additional?: Located;
  /** The schemas in whose place it stands. */
  chain: readonly unknown[];
}

/** What one schema says of items. */
export interface ItemLayer {
  prefix: Located[];
  items?: Located;
  chain: readonly unknown[];
}

/** What holds for members or items that the rest of a schema says nothing about. */
export interface Unevaluated {
  of: 'members' | 'items';
  located: Located;
  owner: unknown;
}

/** A schema that says something of all that is left of members or items: nothing is, for those around it. */
export interface Evaluated {
  of: 'members' | 'items';
  owner: unknown;
  chain: readonly unknown[];
}

/** Items of which so many must satisfy a schema. */
export interface Contains {
  located: Located;
  least: number;
  most: number;
}

export interface Group {
  keyword: 'anyOf' | 'oneOf';
  path: string;
  branches: Located[];
  chain: readonly unknown[];
}

export class Facts {
  types = new Set<JsonType>(jsonTypes);
  integer = false;
  /** The only values, when they are listed. */
  values: unknown[] | undefined;
  layers: MemberLayer[] = [];
  required = new Set<string>();
  propertyNames: Located[] = [];
  members: [least: number, most: number] = [0, Number.POSITIVE_INFINITY];
  items: ItemLayer[] = [];
  count: [least: number, most: number] = [0, Number.POSITIVE_INFINITY];
  unique: string | undefined;
  length: [least: number, most: number] = [0, Number.POSITIVE_INFINITY];
  patterns: { pattern: string; path: string; search: boolean; negated?: boolean }[] = [];
  /** Values that it is not. */
  excluded: { value: unknown; path: string }[] = [];
  contains: Contains[] = [];
  unevaluated: Unevaluated[] = [];
  evaluated: Evaluated[] = [];
  /** A number that is no integer. */
  fractional = false;
  least: Bound | undefined;
  most: Bound | undefined;
  multiples: { value: number; path: string }[] = [];
  groups: Group[] = [];
  /** Schemas that are in, so that none counts twice. */
  readonly seen = new Set<unknown>();
  /** Those of them that brought a group. */
  readonly grouped = new Set<unknown>();

  copy(): Facts {
    const copy = Object.assign(new Facts(), this) as Facts;
    copy.types = new Set(this.types);
    copy.layers = [...this.layers];
    copy.required = new Set(this.required);
    copy.propertyNames = [...this.propertyNames];
    copy.items = [...this.items];
    copy.patterns = [...this.patterns];
    copy.multiples = [...this.multiples];
    copy.groups = [...this.groups];
    copy.excluded = [...this.excluded];
    copy.contains = [...this.contains];
    copy.unevaluated = [...this.unevaluated];
    copy.evaluated = [...this.evaluated];
    Object.assign(copy, { seen: new Set(this.seen), grouped: new Set(this.grouped) });
    return copy;
  }

  raise(bound: Bound): void {
    const now = this.least;
    if (!now || bound.value > now.value || (bound.value === now.value && bound.exclusive)) this.least = bound;
  }

  lower(bound: Bound): void {
    const now = this.most;
    if (!now || bound.value < now.value || (bound.value === now.value && bound.exclusive)) this.most = bound;
  }

  lengthen(of: 'members' | 'count' | 'length', least: number): void {
    this[of] = [Math.max(this[of][0], least), this[of][1]];
  }

  shorten(of: 'members' | 'count' | 'length', most: number): void {
    this[of] = [this[of][0], Math.min(this[of][1], most)];
  }

  /** Some schema in the owner's place leaves it no member or item. */
  isEvaluatedWithin({ of, owner }: Unevaluated): boolean {
    return this.evaluated.some((one) => one.of === of && one.owner !== owner && one.chain.includes(owner));
  }

  /** An object without this member. */
  forbid(name: string, path: string): void {
    const properties = new Map([[name, { schema: false, path }]]);
    this.layers.push({ path, properties, patterns: [], chain: [] });
  }

  keepTypes(types: Iterable<JsonType>): void {
    const kept = new Set(types);
    for (const type of this.types) if (!kept.has(type)) this.types.delete(type);
  }

  keepValues(values: readonly unknown[]): void {
    this.values = (this.values ?? [...values]).filter((a) => values.some((b) => sameValue(a, b)));
  }
}

export function typeOf(value: unknown): JsonType {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  return typeof value as JsonType;
}

export function sameValue(a: unknown, b: unknown): boolean {
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return a === b;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const keys = Object.keys(a);
  if (keys.length !== Object.keys(b).length) return false;
  return keys.every(
    (key) =>
      Object.hasOwn(b, key) &&
      sameValue((a as Record<string, unknown>)[key], (b as Record<string, unknown>)[key]),
  );
}

/** INVALID_OPTION that names keyword and path. */
export function refused(path: string, problem: string): KvasirError {
  return new KvasirError('INVALID_OPTION', `The schema's ${cut(path, 200)} ${problem}.`, {
    details: { path: cut(path, 200) },
  });
}

export function wrongValue(path: string, given: unknown, allowed: string): KvasirError {
  return refused(path, `is ${show(given)}; it must be ${allowed}`);
}

export function pointer(path: string, ...keys: (string | number)[]): string {
  return [path, ...keys.map((key) => String(key).replaceAll('~', '~0').replaceAll('/', '~1'))].join('/');
}

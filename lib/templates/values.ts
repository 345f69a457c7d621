/**
 * Values of the template language: None is null, int is bigint, float is number, str is Text. Lists and mappings cannot
 * be changed by a template, as in the reference's sandbox.
 */
import type { Budget } from './budget.js';
import { LimitReached, TemplateFailure, typeError } from './failure.js';
import { Text } from './text.js';

export type Value = null | boolean | bigint | number | Text | Thing;

/** Whatever is no scalar. */
export abstract class Thing {
  /** Python's name of the type. */
  abstract readonly typeName: string;
  /** What `value.name` gives, before items are looked at. */
  attribute(_name: string): Value | undefined {
    return undefined;
  }
}

export class List extends Thing {
  readonly typeName = 'list';
  /** The parts of a message's content. */
  isParts = false;
  constructor(readonly items: readonly Value[]) {
    super();
  }
}

export class Tuple extends Thing {
  readonly typeName: string = 'tuple';
  constructor(
    readonly items: readonly Value[],
    /** Names of its items, where they have some. */
    readonly names: readonly string[] = [],
  ) {
    super();
  }

  override attribute(name: string): Value | undefined {
    const at = this.names.indexOf(name);
    return at < 0 ? undefined : this.items[at];
  }
}

/** Values in a key, with those inside of them. */
const largestKey = 10_000;

/** The same for keys that are equal; throws for what cannot be a key. */
export function keyOf(value: Value, room = { left: largestKey }): string {
  if (--room.left < 0) throw new LimitReached(`a key of more than ${largestKey} values`);
  if (value instanceof Text) return `s${value.value}`;
  if (value === null) return 'none';
  if (typeof value === 'boolean') return value ? 'n1' : 'n0';
  if (typeof value === 'bigint') return `n${value}`;
  if (typeof value === 'number') return Number.isInteger(value) ? `n${BigInt(value)}` : `n${value}`;
  if (value instanceof Tuple) {
    return `t${value.items
      .map((item) => keyOf(item, room))
      .map((key) => `${key.length}:${key}`)
      .join('')}`;
  }
  if (value instanceof Undefined) return 'undefined';
  if (value instanceof List || value instanceof Dict) throw typeError(`unhashable type: '${value.typeName}'`);
  return `o${identity(value)}`;
}

const identities = new WeakMap<Thing, number>();
let nextIdentity = 0;

function identity(thing: Thing): number {
  let known = identities.get(thing);
  if (known === undefined) {
    known = nextIdentity++;
    identities.set(thing, known);
  }
  return known;
}

export class Dict extends Thing {
  readonly typeName = 'dict';
  readonly #entries: Map<string, [Value, Value]>;
  /** Names of the fields that a template looked at; '*': at all of them. */
  reads: Set<string> | undefined;
  /** The arguments of a call. */
  isArguments = false;

  constructor(entries: Iterable<readonly [Value, Value]> = []) {
    super();
    this.#entries = new Map();
    for (const [key, value] of entries) {
      const hash = keyOf(key);
      const known = this.#entries.get(hash);
      // A key that is there keeps its spelling, as in Python.
      this.#entries.set(hash, [known ? known[0] : key, value]);
    }
  }

  get size(): number {
    return this.#entries.size;
  }

  get(key: Value): Value | undefined {
    const hash = keyOf(key);
    this.reads?.add(hash.slice(1));
    return this.#entries.get(hash)?.[1];
  }

  has(key: Value): boolean {
    return this.#entries.has(keyOf(key));
  }

  get entries(): [Value, Value][] {
    this.reads?.add('*');
    return [...this.#entries.values()];
  }

  get keys(): Value[] {
    return [...this.#entries.values()].map(([key]) => key);
  }
}

/** Nothing there: prints as nothing and is empty; whatever else is done with it is an error. */
export class Undefined extends Thing {
  readonly typeName = 'Undefined';
  constructor(
    readonly problem: string,
    readonly kind = 'UndefinedError',
  ) {
    super();
  }

  static named(name: string): Undefined {
    return new Undefined(`'${name}' is undefined`);
  }

  fail(): TemplateFailure {
    return new TemplateFailure(this.kind, this.problem);
  }
}

export class Range extends Thing {
  readonly typeName = 'range';
  readonly length: number;
  constructor(
    readonly start: bigint,
    readonly stop: bigint,
    readonly step: bigint,
  ) {
    super();
    this.length = Number(rangeLength(start, stop, step));
  }

  at(index: number): bigint {
    return this.start + BigInt(index) * this.step;
  }

  get items(): bigint[] {
    return Array.from({ length: this.length }, (_, i) => this.at(i));
  }
}

export function rangeLength(start: bigint, stop: bigint, step: bigint): bigint {
  const span = step > 0n ? stop - start : start - stop;
  if (span <= 0n) return 0n;
  const size = step > 0n ? step : -step;
  return (span + size - 1n) / size;
}

/** What keys(), values() and items() of a mapping give. */
export class View extends Thing {
  constructor(
    readonly typeName: 'dict_keys' | 'dict_values' | 'dict_items',
    readonly items: readonly Value[],
  ) {
    super();
  }
}

/** Items that can be gone through once. */
export class Once extends Thing {
  #next = 0;
  constructor(
    readonly typeName: string,
    readonly items: readonly Value[],
  ) {
    super();
  }

  take(): Value | undefined {
    return this.items[this.#next++];
  }

  rest(): Value[] {
    const rest = this.items.slice(this.#next);
    this.#next = this.items.length;
    return rest;
  }
}

/** What `namespace(...)` gives: its fields may be set. */
export class Namespace extends Thing {
  readonly typeName = 'Namespace';
  constructor(readonly fields: Map<string, Value>) {
    super();
  }

  override attribute(name: string): Value | undefined {
    return this.fields.get(name);
  }
}

export interface Arguments {
  positional: readonly Value[];
  named: ReadonlyMap<string, Value>;
}

/** Something to call. */
export class Callable extends Thing {
  readonly typeName: string = 'function';
  constructor(
    readonly name: string,
    readonly call: (given: Arguments) => Value,
  ) {
    super();
  }
}

/** A part of a sequence: `value[start:stop:step]`. */
export class Slice extends Thing {
  readonly typeName = 'slice';
  constructor(
    readonly start: Value,
    readonly stop: Value,
    readonly step: Value,
  ) {
    super();
  }
}

/** Unlike `??`, takes None for the value that it is. */
export function orElse<T extends Value>(value: T | undefined, absent: T): T {
  return value === undefined ? absent : value;
}

export function typeName(value: Value): string {
  if (value === null) return 'NoneType';
  if (value instanceof Text) return value.markup ? 'Markup' : 'str';
  if (typeof value === 'boolean') return 'bool';
  if (typeof value === 'bigint') return 'int';
  if (typeof value === 'number') return 'float';
  return value.typeName;
}

export function isTrue(value: Value): boolean {
  if (value === null || value instanceof Undefined) return false;
  if (typeof value === 'boolean') return value;
  if (typeof value === 'bigint') return value !== 0n;
  if (typeof value === 'number') return value !== 0;
  if (value instanceof Text) return value.value !== '';
  const length = lengthOf(value);
  return length === undefined || length > 0;
}

/** undefined: it has no length. */
export function lengthOf(value: Value): number | undefined {
  if (value instanceof Text) return value.length;
  if (value instanceof List || value instanceof Tuple || value instanceof View) return value.items.length;
  if (value instanceof Dict) return value.size;
  if (value instanceof Range) return value.length;
  if (value instanceof Undefined) return 0;
  return value instanceof Thing ? (value as { size?: number }).size : undefined;
}

/** undefined: it cannot be gone through. */
export function itemsOf(value: Value): readonly Value[] | undefined {
  if (value instanceof Text) return value.characters();
  if (value instanceof List || value instanceof Tuple || value instanceof View) return value.items;
  if (value instanceof Dict) return value.keys;
  if (value instanceof Range) return value.items;
  if (value instanceof Once) return value.rest();
  if (value instanceof Undefined) return [];
  return undefined;
}

/** Copying an item is far less than a step; each character of a text becomes an item. */
export function iterate(value: Value, budget: Budget): readonly Value[] {
  const length = lengthOf(value) ?? 0;
  budget.step(1 + (value instanceof Text ? length : length >> 3));
  const items = itemsOf(value);
  if (items === undefined) throw typeError(`'${typeName(value)}' object is not iterable`);
  return items;
}

/** A bool counts as 0 or 1. undefined: no number. */
export function numberOf(value: Value): bigint | number | undefined {
  if (typeof value === 'boolean') return value ? 1n : 0n;
  return typeof value === 'bigint' || typeof value === 'number' ? value : undefined;
}

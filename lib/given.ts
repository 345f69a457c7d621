/**
 * What callers give, read once. They may give anything: a getter that throws, a revoked proxy, an array with holes, what
 * holds itself. So everything is read in one place, at the call, into plain data of our own; whatever reading throws is
 * INVALID_OPTION, and what a message shows of a value is short.
 */
import { types } from 'node:util';
import { isKvasirError, KvasirError } from './errors.js';

/**
 * What an option may be. Plain checks, no schema: `generate` runs them for each request, and a library's first use of one
 * can hold up the event loop for milliseconds.
 */
export interface Rule {
  fits: (value: unknown) => boolean;
  /** What may be given: the end of 'it must be ...'. */
  allowed: string;
  /** A copy of what the caller could change later, made before it is checked. */
  copy?: (value: unknown) => unknown;
}

export const integer = (min: number, max: number): Rule => ({
  fits: (v) => Number.isInteger(v) && (v as number) >= min && (v as number) <= max,
  allowed: `an integer from ${min} to ${max === Number.MAX_SAFE_INTEGER ? '2^53 - 1' : max}`,
});
export const number = (min: number, max: number): Rule => ({
  fits: (v) => typeof v === 'number' && v >= min && v <= max,
  allowed: `a number from ${min} to ${max}`,
});
export const oneOf = (...values: string[]): Rule => ({
  fits: (v) => values.includes(v as string),
  allowed: `one of ${values.map((value) => `'${value}'`).join(', ')}`,
});
export const boolean: Rule = { fits: (v) => typeof v === 'boolean', allowed: 'true or false' };
export const callback: Rule = { fits: (v) => typeof v === 'function', allowed: 'a function' };
export const text: Rule = { fits: (v) => typeof v === 'string', allowed: 'a string' };

/** An object, and no list. */
export const isRecord = (v: unknown): v is Record<string, unknown> =>
  typeof v === 'object' && v !== null && !Array.isArray(v);

const abortedOf = Object.getOwnPropertyDescriptor(AbortSignal.prototype, 'aborted')!.get!;

/** One that only looks like a signal fails when it is read, far from here. */
function isSignal(value: unknown): boolean {
  if (!(value instanceof AbortSignal) || types.isProxy(value)) return false;
  return typeof abortedOf.call(value) === 'boolean';
}

export const signal: Rule = {
  fits: (v) => {
    try {
      return isSignal(v);
    } catch {
      return false;
    }
  },
  allowed: 'an AbortSignal',
};

/** A list of what fits `each`, without holes. */
export function list(each: (value: unknown) => boolean, least: number, most: number, allowed: string): Rule {
  return {
    // Holes become undefined.
    copy: (v) => (Array.isArray(v) && v.length <= most ? Array.from(v) : v),
    fits: (v) => Array.isArray(v) && v.length >= least && v.length <= most && v.every(each),
    allowed,
  };
}

/** INVALID_OPTION that names the option, what was given and what may be. */
export function invalidOption(name: string, given: unknown, allowed: string): KvasirError {
  const shown = show(given);
  return new KvasirError('INVALID_OPTION', `Option ${name} is ${shown}; it must be ${allowed}.`, {
    details: { option: name, given: shown },
  });
}

/** What an error says, whatever was thrown. */
function messageOf(thrown: unknown): string {
  try {
    return thrown instanceof Error ? cut(String(thrown.message), 200) : show(thrown);
  } catch {
    return 'it throws';
  }
}

/** What `read` returns; whatever it throws that is no KvasirError is INVALID_OPTION. @param what 'The options of generate' */
export function reading<T>(what: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    if (isKvasirError(cause)) throw cause;
    throw new KvasirError('INVALID_OPTION', `${what} cannot be read: ${messageOf(cause)}.`, { cause });
  }
}

/** The options that are given, undefined ones left out. Throws INVALID_OPTION naming what is unknown or impossible. */
export function parseOptions(rules: Readonly<Record<string, Rule>>, options: unknown, call: string): unknown {
  return reading(`The options of ${call}`, () => parse(rules, options === undefined ? {} : options, call));
}

function parse(rules: Readonly<Record<string, Rule>>, given: unknown, call: string): unknown {
  if (!isRecord(given)) throw invalidOption(`of ${call}`, given, 'an object');
  const unknown = Object.keys(given).find((name) => !Object.hasOwn(rules, name));
  if (unknown !== undefined) {
    const known = Object.keys(rules).join(', ');
    throw new KvasirError('INVALID_OPTION', `${call} has no option ${cut(unknown)}. Its options: ${known}.`, {
      details: { option: cut(unknown) },
    });
  }
  const parsed: Record<string, unknown> = {};
  for (const [name, { fits, allowed, copy }] of Object.entries(rules)) {
    const value = given[name];
    if (value === undefined) continue;
    const own = copy ? copy(value) : value;
    if (!fits(own)) throw invalidOption(name, own, allowed);
    parsed[name] = own;
  }
  return parsed;
}

/** A text as a message shows it. */
export function cut(given: string, most = 60): string {
  return given.length > most ? `${given.slice(0, most)}...` : given;
}

/** A value as a message shows it: a short text, after little work, whatever it is. */
export function show(value: unknown): string {
  if (typeof value === 'string') return `'${cut(value)}'`;
  try {
    return cut(sketch(value, 3));
  } catch {
    return typeof value === 'function' ? 'a function' : 'an object that cannot be read';
  }
}

const shownItems = 16;

function sketch(value: unknown, depth: number): string {
  if (typeof value === 'string') return JSON.stringify(cut(value));
  if (typeof value === 'function' || typeof value === 'symbol') return `a ${typeof value}`;
  if (typeof value !== 'object' || value === null) return String(value);
  if (depth === 0) return '...';
  if (Array.isArray(value)) {
    const items = Array.from({ length: Math.min(shownItems, value.length) }, (_, i) => value[i]);
    return `[${items.map((item) => sketch(item, depth - 1)).join(',')}]`;
  }
  const names = Object.keys(value).slice(0, shownItems);
  const entries = names.map((name) => {
    const item = (value as Record<string, unknown>)[name];
    return `${JSON.stringify(cut(name))}:${sketch(item, depth - 1)}`;
  });
  return `{${entries.join(',')}}`;
}

/** Objects and entries of lists that a conversation or a report may have: what holds few may look like a tree without end. */
const mostValues = 500_000;
const deepest = 100;

class Copier {
  #values = 0;

  constructor(readonly where: string) {}

  copy(data: unknown, depth: number): unknown {
    if (typeof data === 'function' || typeof data === 'symbol') {
      throw this.#wrong(`holds a ${typeof data}, which is no data`);
    }
    if (typeof data !== 'object' || data === null) return data;
    if (depth > deepest) throw this.#wrong(`is nested more than ${deepest} deep, or holds itself`);
    if (++this.#values > mostValues) throw this.#wrong(`holds more than ${mostValues} values`);
    if (Array.isArray(data)) return this.#copyArray(data, depth);
    if ('toJSON' in data && typeof data.toJSON === 'function') return this.copy(data.toJSON(), depth + 1);
    const copy: Record<string, unknown> = {};
    for (const key of Object.keys(data)) {
      const value = this.copy((data as Record<string, unknown>)[key], depth + 1);
      if (value === undefined) continue;
      // As an own field even where it is called __proto__.
      if (key === '__proto__') Object.defineProperty(copy, key, { value, enumerable: true, writable: true });
      else copy[key] = value;
    }
    return copy;
  }

  #copyArray(data: readonly unknown[], depth: number): unknown[] {
    const copy: unknown[] = [];
    const { length } = data;
    for (let i = 0; i < length; ++i) {
      // A list of a length and nothing else takes no time.
      if (!(i in data)) throw this.#wrong(`holds a list without an entry ${i}`);
      copy.push(this.copy(data[i], depth + 1));
    }
    this.#values += length;
    return copy;
  }

  #wrong(problem: string): KvasirError {
    return new KvasirError('INVALID_OPTION', `${this.where} ${problem}.`);
  }
}

/** Plain data, copied. Throws INVALID_OPTION for what JSON has no form for. @param where 'messages: entry 3' */
export function plainData(data: unknown, where: string): unknown {
  return reading(where, () => new Copier(where).copy(data, 0));
}

/** A copy of a list of token ids; undefined for what is none. */
export function copyIds(value: unknown): Int32Array | undefined {
  return types.isInt32Array(value) ? new Int32Array(value) : undefined;
}

/** The filter `tojson`: Python's json.dumps with the options that the reference offers. */
import type { Budget } from './budget.js';
import { compareText } from './comparing.js';
import { typeError } from './failure.js';
import { floatText } from './numbers.js';
import { Text, TextBuilder } from './text.js';
import { Dict, isTrue, List, numberOf, Tuple, typeName, type Value } from './values.js';

export interface JsonOptions {
  ensureAscii: boolean;
  /** One level of indentation; undefined: everything on one line. */
  indent: string | undefined;
  itemSeparator: Text;
  keySeparator: Text;
  sortKeys: boolean;
}

/** Of the filter's arguments. */
export function jsonOptions(ascii: Value, indent: Value, separators: Value, sort: Value): JsonOptions {
  const level =
    indent === null ? undefined : indent instanceof Text ? indent.value : ' '.repeat(indentWidth(indent));
  const options: JsonOptions = {
    ensureAscii: isTrue(ascii),
    indent: level,
    itemSeparator: Text.of(level === undefined ? ', ' : ','),
    keySeparator: Text.of(': '),
    sortKeys: isTrue(sort),
  };
  if (separators === null) return options;
  const pair = separators instanceof List || separators instanceof Tuple ? separators.items : [];
  const [item, key] = pair;
  if (pair.length !== 2 || !(item instanceof Text) || !(key instanceof Text)) {
    throw typeError('separators must be two strings');
  }
  return { ...options, itemSeparator: item, keySeparator: key };
}

function indentWidth(indent: Value): number {
  const width = numberOf(indent);
  if (typeof width !== 'bigint')
    throw typeError(`can't multiply sequence by non-int of type '${typeName(indent)}'`);
  return width > 0n ? Number(width > 1000n ? 1000n : width) : 0;
}

export function toJson(value: Value, options: JsonOptions, budget: Budget): Text {
  const writer = new JsonWriter(options, budget);
  writer.write(value, 0);
  return writer.builder.finish();
}

/** What JSON cannot hold as it is. */
const belowSpace = '\\x00-\\x1f';
const controls = new RegExp(`["\\\\${belowSpace}]`, 'g');

class JsonWriter {
  readonly builder = new TextBuilder();

  constructor(
    readonly options: JsonOptions,
    readonly budget: Budget,
  ) {}

  write(value: Value, depth: number): void {
    this.budget.step();
    this.budget.nested(depth);
    if (value instanceof Text) this.#string(value);
    else if (value instanceof List || value instanceof Tuple) this.#list(value.items, depth);
    else if (value instanceof Dict) this.#dict(value, depth);
    else this.#write(scalar(value));
  }

  #put(text: Text): void {
    this.budget.text(text.value.length);
    this.builder.add(text);
  }

  #write(text: string): void {
    this.budget.text(text.length);
    this.builder.write(text);
  }

  #string(text: Text): void {
    const pattern = this.options.ensureAscii ? /["\\]|[^\x20-\x7e]/g : controls;
    this.#write('"');
    this.#put(text.map((stretch) => stretch.replace(pattern, escaped)));
    this.#write('"');
  }

  #lines(depth: number): void {
    const { indent } = this.options;
    if (indent !== undefined) this.#write(`\n${indent.repeat(depth)}`);
  }

  #list(items: readonly Value[], depth: number): void {
    this.#write('[');
    items.forEach((item, i) => {
      if (i > 0) this.#put(this.options.itemSeparator);
      this.#lines(depth + 1);
      this.write(item, depth + 1);
    });
    if (items.length > 0) this.#lines(depth);
    this.#write(']');
  }

  #dict(value: Dict, depth: number): void {
    this.#write('{');
    const entries = value.entries;
    if (this.options.sortKeys) entries.sort(([a], [b]) => compareKeys(a, b));
    entries.forEach(([key, item], i) => {
      if (i > 0) this.#put(this.options.itemSeparator);
      this.#lines(depth + 1);
      this.#string(keyText(key));
      this.#put(this.options.keySeparator);
      this.write(item, depth + 1);
    });
    if (entries.length > 0) this.#lines(depth);
    this.#write('}');
  }
}

function compareKeys(a: Value, b: Value): number {
  if (a instanceof Text && b instanceof Text) return compareText(a.value, b.value);
  const [x, y] = [numberOf(a), numberOf(b)];
  if (x !== undefined && y !== undefined) return x < y ? -1 : x > y ? 1 : 0;
  throw typeError(`'<' not supported between instances of '${typeName(a)}' and '${typeName(b)}'`);
}

function keyText(key: Value): Text {
  if (key instanceof Text) return key;
  if (key === null || numberOf(key) !== undefined) return Text.of(scalar(key));
  throw typeError(`keys must be str, int, float, bool or None, not ${typeName(key)}`);
}

function scalar(value: Value): string {
  if (value === null) return 'null';
  if (typeof value === 'boolean') return value ? 'true' : 'false';
  if (typeof value === 'bigint') return value.toString();
  if (typeof value !== 'number')
    throw typeError(`Object of type ${typeName(value)} is not JSON serializable`);
  if (Number.isNaN(value)) return 'NaN';
  if (!Number.isFinite(value)) return value > 0 ? 'Infinity' : '-Infinity';
  return floatText(value);
}

const short: Readonly<Record<string, string>> = {
  '"': '\\"',
  '\\': '\\\\',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\b': '\\b',
  '\f': '\\f',
};

function escaped(unit: string): string {
  return short[unit] ?? `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

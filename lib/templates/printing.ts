/** str() and repr() of values, as Python gives them. */
import type { Budget } from './budget.js';
import { TemplateFailure, unsupported } from './failure.js';
import { floatText } from './numbers.js';
import { Text, TextBuilder } from './text.js';
import {
  Callable,
  Dict,
  List,
  Namespace,
  Once,
  Range,
  Tuple,
  typeName,
  Undefined,
  type Value,
  View,
} from './values.js';

/** The template prints the parts of a content as a list: it knows no parts. */
export class PartsPrinted extends TemplateFailure {
  constructor() {
    super('PartsPrinted', 'the content is printed as a list');
  }
}

/** The template prints the arguments of a call as Python would: it wants them as JSON. */
export class ArgumentsPrinted extends TemplateFailure {
  constructor() {
    super('ArgumentsPrinted', 'the arguments of a call are printed as they are');
  }
}

/** str(value) */
export function toText(value: Value, budget: Budget): Text {
  if (value instanceof Text) return value;
  if (value instanceof Undefined) return Text.empty;
  if (value instanceof List && value.isParts) throw new PartsPrinted();
  if (value instanceof Dict && value.isArguments) throw new ArgumentsPrinted();
  return repr(value, budget);
}

/** repr(value) */
export function repr(value: Value, budget: Budget): Text {
  const printer = new Printer(budget);
  printer.print(value, 0);
  return printer.builder.finish();
}

class Printer {
  readonly builder = new TextBuilder();

  constructor(readonly budget: Budget) {}

  print(value: Value, depth: number): void {
    this.budget.step();
    this.budget.nested(depth);
    if (value instanceof Text) {
      const text = value.markup ? quotedMarkup(value) : quoted(value);
      this.budget.text(text.value.length);
      this.builder.add(text);
    } else if (value instanceof Dict) {
      this.#entries('{', value.entries, '}', depth);
    } else if (value instanceof Namespace) {
      const pairs = [...value.fields].map(([name, item]): [Value, Value] => [Text.of(name), item]);
      this.#entries('<Namespace {', pairs, '}>', depth);
    } else if (value instanceof List) {
      this.#items('[', value.items, ']', depth);
    } else if (value instanceof Tuple) {
      this.#items('(', value.items, value.items.length === 1 ? ',)' : ')', depth);
    } else if (value instanceof View) {
      this.#items(`${value.typeName}([`, value.items, '])', depth);
    } else this.#write(plainText(value));
  }

  #write(text: string): void {
    this.budget.text(text.length);
    this.builder.write(text);
  }

  #items(open: string, items: readonly Value[], close: string, depth: number): void {
    this.#write(open);
    items.forEach((item, i) => {
      if (i > 0) this.#write(', ');
      this.print(item, depth + 1);
    });
    this.#write(close);
  }

  #entries(open: string, pairs: readonly [Value, Value][], close: string, depth: number): void {
    this.#write(open);
    pairs.forEach(([key, item], i) => {
      if (i > 0) this.#write(', ');
      this.print(key, depth + 1);
      this.#write(': ');
      this.print(item, depth + 1);
    });
    this.#write(close);
  }
}

/** Of what holds no other values. */
function plainText(value: Exclude<Value, Text>): string {
  if (value === null) return 'None';
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  if (typeof value === 'bigint') return value.toString();
  if (typeof value === 'number') return floatText(value);
  if (value instanceof Undefined) return 'Undefined';
  if (value instanceof Range) {
    return `range(${value.start}, ${value.stop}${value.step === 1n ? '' : `, ${value.step}`})`;
  }
  if (value instanceof Callable && value.typeName === 'Macro') return `<Macro '${value.name}'>`;
  throw unsupported(`printing a ${value instanceof Once ? 'generator' : typeName(value)}`);
}

const unprintable = /[\p{C}\p{Z}]/u;
const named: Readonly<Record<string, string>> = { '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t' };

function escaped(character: string, quote: string): string {
  if (character === quote) return `\\${quote}`;
  const short = named[character];
  if (short !== undefined) return short;
  if (character === ' ' || !unprintable.test(character)) return character;
  const code = character.codePointAt(0)!.toString(16);
  if (code.length <= 2) return `\\x${code.padStart(2, '0')}`;
  return code.length <= 4 ? `\\u${code.padStart(4, '0')}` : `\\U${code.padStart(8, '0')}`;
}

function quoted(text: Text): Text {
  const { value } = text;
  const quote = value.includes("'") && !value.includes('"') ? '"' : "'";
  const body = text.map((stretch) => {
    let result = '';
    for (const character of stretch) result += escaped(character, quote);
    return result;
  });
  return Text.concat([Text.of(quote), body, Text.of(quote)]);
}

function quotedMarkup(text: Text): Text {
  return Text.concat([Text.of('Markup('), quoted(text), Text.of(')')]);
}

/** How filters are written: the names of their parameters, how many are needed, and what they do. */
import { subscript } from './access.js';
import { lower } from './characters.js';
import { TemplateFailure } from './failure.js';
import { toText } from './printing.js';
import type { Runtime } from './runtime.js';
import { integerArgument } from './signature.js';
import { Text } from './text.js';
import { type Arguments, isTrue, List, Undefined, type Value } from './values.js';

export interface FilterCall {
  runtime: Runtime;
  value: Value;
  /** As matched to the names. */
  found: readonly (Value | undefined)[];
  /** As given. */
  given: Arguments;
}

export interface Filter {
  /** undefined: it takes whatever it is given. */
  names: readonly string[] | undefined;
  required: number;
  body: (call: FilterCall) => Value;
}

export type FilterTable = Readonly<Record<string, Filter>>;

export function filter(names: readonly string[], required: number, body: Filter['body']): Filter {
  return { names, required, body };
}

export function anyArguments(body: Filter['body']): Filter {
  return { names: undefined, required: 0, body };
}

/** The value as a string. */
export function textOf({ value, runtime }: FilterCall): Text {
  return toText(value, runtime.budget);
}

export function flag(value: Value | undefined): boolean {
  return value !== undefined && isTrue(value);
}

export function whole(value: Value | undefined, absent: number): number {
  return value === undefined ? absent : integerArgument(value);
}

export function filterArgumentError(message: string): TemplateFailure {
  return new TemplateFailure('FilterArgumentError', message);
}

/** Looks for `a.b.0` in a value, as items or attributes. `absent` null or undefined: nothing stands for what is not there. */
export function attributeGetter(
  attribute: Value | undefined,
  runtime: Runtime,
  absent?: Value,
): (item: Value) => Value {
  const steps: Value[] =
    attribute === undefined || attribute === null
      ? []
      : attribute instanceof Text
        ? attribute.value.split('.').map((part) => (/^\d+$/.test(part) ? BigInt(part) : Text.of(part)))
        : [attribute];
  return (item) => {
    let found = item;
    for (const step of steps) {
      runtime.budget.step();
      found = subscript(found, step, runtime.budget);
      if (found instanceof Undefined && absent !== undefined && absent !== null) found = absent;
    }
    return found;
  };
}

/** Of several attributes with commas between them: a list. */
export function attributesGetter(
  attribute: Value | undefined,
  runtime: Runtime,
  finish: (value: Value) => Value,
): (item: Value) => Value {
  const all =
    attribute instanceof Text
      ? attribute.value.split(',').map((one) => attributeGetter(Text.of(one), runtime))
      : [attributeGetter(attribute, runtime)];
  return (item) => new List(all.map((get) => finish(get(item))));
}

/** Strings without their case, unless it counts. */
export function caseless(caseSensitive: Value | undefined): (value: Value) => Value {
  return flag(caseSensitive) ? (value) => value : (value) => (value instanceof Text ? lower(value) : value);
}

/** str.format: `{}`, `{0}`, `{name.field[key]!r:spec}`. */
import type { Budget } from './budget.js';
import { TemplateFailure, valueError } from './failure.js';
import { formatValue } from './format-spec.js';
import { repr, toText } from './printing.js';
import { Text } from './text.js';
import type { Arguments, Value } from './values.js';

/** How fields of arguments are found. */
export interface Lookup {
  member(value: Value, name: string, budget: Budget): Value;
  subscript(value: Value, key: Value, budget: Budget): Value;
}

interface Formatting {
  lookup: Lookup;
  given: Arguments;
  budget: Budget;
  /** Number of the next `{}`; -1: fields are numbered by hand. */
  next: number;
}

export function strFormat(format: Text, given: Arguments, budget: Budget, lookup: Lookup): Text {
  const result = expand(format, { lookup, given, budget, next: 0 }, 2);
  budget.text(result.value.length);
  return result.like(format);
}

function expand(format: Text, state: Formatting, depth: number): Text {
  if (depth < 0) throw valueError('Max string recursion exceeded');
  const { value } = format;
  const pieces: Text[] = [];
  let at = 0;
  while (at < value.length) {
    const brace = value.slice(at).search(/[{}]/);
    if (brace < 0) break;
    const open = at + brace;
    state.budget.step();
    if (value[open + 1] === value[open]) {
      pieces.push(format.cut(at, open + 1));
      at = open + 2;
      continue;
    }
    pieces.push(format.cut(at, open));
    if (value[open] === '}') throw valueError("Single '}' encountered in format string");
    const end = closing(value, open);
    pieces.push(field(format.cut(open + 1, end), state, depth));
    at = end + 1;
  }
  pieces.push(format.cut(at));
  return Text.concat(pieces);
}

/** Offset of the brace that ends a field. */
function closing(value: string, open: number): number {
  let depth = 0;
  for (let i = open; i < value.length; ++i) {
    if (value[i] === '{') depth++;
    else if (value[i] === '}' && --depth === 0) return i;
  }
  throw valueError(
    open + 1 === value.length
      ? "Single '{' encountered in format string"
      : "expected '}' before end of string",
  );
}

function field(text: Text, state: Formatting, depth: number): Text {
  const { value } = text;
  const [, name, conversion, colon] = /^((?:[^[\]!:]|\[[^\]]*\])*)(?:!([^:]?))?(:?)/s.exec(value)!;
  const head = name!.length + (conversion === undefined ? 0 : 1 + conversion.length);
  if (colon === '' && head < value.length) throw valueError("expected ':' after conversion specifier");
  let found = lookUp(name!, state);
  if (conversion !== undefined) {
    if (!/^[rsa]$/.test(conversion)) throw valueError(`Unknown conversion specifier ${conversion}`);
    found = conversion === 's' ? toText(found, state.budget) : repr(found, state.budget);
  }
  const spec = colon === '' ? '' : expand(text.cut(head + 1), state, depth - 1).value;
  return formatValue(found, spec, state.budget);
}

function lookUp(name: string, state: Formatting): Value {
  const [, first, rest] = /^([^.[]*)(.*)$/s.exec(name)!;
  let value = argument(first!, state);
  for (const step of rest!.matchAll(/\.([^.[]*)|\[([^\]]*)\]|./gsu)) {
    const [, attribute, index] = step;
    if (attribute !== undefined && attribute !== '')
      value = state.lookup.member(value, attribute, state.budget);
    else if (index !== undefined && index !== '') {
      value = state.lookup.subscript(
        value,
        /^\d+$/.test(index) ? BigInt(index) : Text.of(index),
        state.budget,
      );
    } else throw valueError('Empty attribute in format string');
  }
  return value;
}

function argument(name: string, state: Formatting): Value {
  const { positional, named } = state.given;
  if (name === '' || /^\d+$/.test(name)) {
    if (name === '' ? state.next < 0 : state.next > 0) {
      throw valueError('cannot switch between manual field specification and automatic field numbering');
    }
    const index = name === '' ? state.next++ : Number(name);
    if (name !== '') state.next = -1;
    const value = positional[index];
    if (value !== undefined) return value;
    throw new TemplateFailure(
      'IndexError',
      `Replacement index ${index} out of range for positional args tuple`,
    );
  }
  const value = named.get(name);
  if (value === undefined) throw new TemplateFailure('KeyError', `'${name}'`);
  return value;
}

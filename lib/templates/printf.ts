/** The operator `%` on a string, and the filter `format`. */
import type { Budget } from './budget.js';
import { TemplateFailure, typeError, valueError } from './failure.js';
import { chargeSpec, type FormatSpec, formatNumber, pad } from './format-spec.js';
import { toFloat, truncate } from './numbers.js';
import { repr, toText } from './printing.js';
import { Text } from './text.js';
import { Dict, numberOf, Tuple, typeName, Undefined, type Value } from './values.js';

const directive = /%(?:\(([^()]*)\))?([-+ #0]*)(\*|\d*)(?:\.(\*|\d*))?[hlL]?(.)?/gsu;

interface Supply {
  next(): Value;
  named(name: string): Value;
}

function supply(values: Value): Supply & { isUsed(): boolean } {
  const items = values instanceof Tuple ? values.items : [values];
  let at = 0;
  return {
    next: () => {
      const value = items[at++];
      if (value === undefined) throw typeError('not enough arguments for format string');
      return value;
    },
    named: (name) => {
      if (!(values instanceof Dict)) throw typeError('format requires a mapping');
      const value = values.get(Text.of(name));
      if (value === undefined) throw new TemplateFailure('KeyError', `'${name}'`);
      at = items.length;
      return value;
    },
    isUsed: () => at >= items.length || values instanceof Dict,
  };
}

/** format % values */
export function printf(format: Text, values: Value, budget: Budget): Text {
  const pieces: Text[] = [];
  const given = supply(values);
  let at = 0;
  for (const found of format.value.matchAll(directive)) {
    budget.step();
    pieces.push(format.cut(at, found.index));
    at = found.index + found[0].length;
    const [, name, flags, width, precision, type] = found;
    if (type === undefined) throw valueError('incomplete format');
    if (type === '%') {
      pieces.push(Text.of('%'));
      continue;
    }
    const size = (text: string | undefined): number | undefined =>
      text === undefined ? undefined : text === '*' ? star(given) : Number(text || 0);
    const spec = specOf(flags!, size(width) ?? 0, size(precision), type);
    chargeSpec(spec, budget);
    const value = name === undefined ? given.next() : given.named(name);
    pieces.push(convert(value, spec, budget));
  }
  if (!given.isUsed()) throw typeError('not all arguments converted during string formatting');
  pieces.push(format.cut(at));
  const result = Text.concat(pieces);
  budget.text(result.value.length);
  return result.like(format);
}

function star(given: Supply): number {
  const value = given.next();
  if (typeof value !== 'bigint') throw typeError('* wants int');
  return Number(value);
}

function specOf(flags: string, width: number, precision: number | undefined, type: string): FormatSpec {
  const left = flags.includes('-') || width < 0;
  const zero = flags.includes('0') && !left;
  return {
    fill: zero ? '0' : ' ',
    align: left ? '<' : zero ? '=' : '>',
    sign: flags.includes('+') ? '+' : flags.includes(' ') ? ' ' : '-',
    alternate: flags.includes('#'),
    width: Math.abs(width),
    grouping: '',
    precision,
    type,
  };
}

function convert(value: Value, spec: FormatSpec, budget: Budget): Text {
  switch (spec.type) {
    case 's':
    case 'r':
    case 'a': {
      const text = spec.type === 's' ? toText(value, budget) : repr(value, budget);
      const cut = text.slice(0, Math.min(spec.precision ?? text.length, text.length));
      return pad(cut, { ...spec, fill: ' ', align: spec.align === '<' ? '<' : '>' }, '>');
    }
    case 'c': {
      if (value instanceof Text && value.length === 1) return pad(value, { ...spec, fill: ' ' }, '>');
      if (typeof value !== 'bigint') throw typeError('%c requires int or char');
      return formatNumber(value, { ...spec, precision: undefined, align: '>', fill: ' ' });
    }
    case 'd':
    case 'i':
    case 'u':
      return integer(value, { ...spec, type: 'd' });
    case 'o':
    case 'x':
    case 'X':
      return integer(value, spec);
    case 'e':
    case 'E':
    case 'f':
    case 'F':
    case 'g':
    case 'G':
      return formatNumber(toFloat(number(value, 'must be real number')), spec);
    default:
      throw valueError(
        `unsupported format character '${spec.type}' (0x${spec.type.charCodeAt(0).toString(16)})`,
      );
  }
}

function number(value: Value, problem: string): bigint | number {
  if (value instanceof Undefined) throw value.fail();
  const found = numberOf(value);
  if (found === undefined) throw typeError(`${problem}, not ${typeName(value)}`);
  return found;
}

function integer(value: Value, spec: FormatSpec): Text {
  const found = number(value, `%${spec.type} format: a real number is required`);
  if (typeof found === 'number' && spec.type !== 'd') {
    throw typeError(`%${spec.type} format: an integer is required, not float`);
  }
  const whole = typeof found === 'number' ? truncate(found) : found;
  const digits = (whole < 0n ? -whole : whole).toString({ o: 8, x: 16, X: 16 }[spec.type] ?? 10);
  const missing = (spec.precision ?? 0) - digits.length;
  if (missing <= 0) return formatNumber(whole, { ...spec, precision: undefined });
  const sign = whole < 0n ? '-' : spec.sign === '-' ? '' : spec.sign;
  const prefix = spec.alternate && spec.type !== 'd' ? `0${spec.type}` : '';
  const shown = spec.type === 'X' ? digits.toUpperCase() : digits;
  return pad(Text.of(sign + prefix + '0'.repeat(missing) + shown), { ...spec, fill: ' ' }, '>');
}

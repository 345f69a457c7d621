/** Python's format specifications: `{:>10}`, `{:,.2f}`, and the numbers of `%`. */
import type { Budget } from './budget.js';
import { typeError, unsupported, valueError } from './failure.js';
import { exponentText, fixedText, floatText, scientificDigits, toFloat } from './numbers.js';
import { toText } from './printing.js';
import { Text } from './text.js';
import { typeName, type Value } from './values.js';

export interface FormatSpec {
  fill: string;
  align: '<' | '>' | '=' | '^' | '';
  sign: '+' | '-' | ' ';
  alternate: boolean;
  width: number;
  grouping: ',' | '_' | '';
  precision: number | undefined;
  type: string;
}

const pattern = /^(?:(.)?([<>=^]))?([-+ ]?)(z?)(#?)(0?)(\d*)([,_]?)(?:\.(\d+))?([a-zA-Z%]?)$/su;

export function parseSpec(text: string): FormatSpec {
  const found = pattern.exec(text);
  if (found === null) throw valueError('Invalid format specifier');
  const [, fill, align, sign, negativeZero, alternate, zero, width, grouping, precision, type] = found;
  if (negativeZero) throw unsupported('the format option z');
  return {
    fill: fill ?? (zero ? '0' : ' '),
    align: (align ?? (zero ? '=' : '')) as FormatSpec['align'],
    sign: (sign || '-') as FormatSpec['sign'],
    alternate: alternate === '#',
    width: Number(width || 0),
    grouping: grouping as FormatSpec['grouping'],
    precision: precision === undefined ? undefined : Number(precision),
    type: type!,
  };
}

/** format(value, spec) */
export function formatValue(value: Value, specText: string, budget: Budget): Text {
  if (specText === '') return toText(value, budget);
  const spec = parseSpec(specText);
  chargeSpec(spec, budget);
  if (value instanceof Text) return formatText(value, spec);
  if (typeof value === 'boolean' && spec.type === '') return formatText(toText(value, budget), spec);
  if (typeof value === 'boolean') return formatNumber(value ? 1n : 0n, spec);
  if (typeof value === 'bigint' || typeof value === 'number') return formatNumber(value, spec);
  throw typeError(`unsupported format string passed to ${typeName(value)}.__format__`);
}

/** Numbers of many digits, and groups of them, take long. */
export function chargeSpec({ width, precision, grouping }: FormatSpec, budget: Budget): void {
  budget.text(width);
  budget.bits(precision ?? 0);
  if (grouping !== '') budget.bits(width);
}

function wrongType(type: string, name: string): Error {
  return valueError(`Unknown format code '${type}' for object of type '${name}'`);
}

function formatText(text: Text, spec: FormatSpec): Text {
  if (spec.type !== '' && spec.type !== 's') throw wrongType(spec.type, 'str');
  if (spec.align === '=' && spec.fill !== '0') {
    throw valueError("'=' alignment not allowed in string format specifier");
  }
  if (spec.grouping !== '') throw valueError(`Cannot specify '${spec.grouping}' with 's'.`);
  const cut = spec.precision === undefined ? text : text.slice(0, Math.min(spec.precision, text.length));
  return pad(cut, spec, '<');
}

/** `usual`: where the text stands when nothing is said. */
export function pad(text: Text, spec: Pick<FormatSpec, 'fill' | 'align' | 'width'>, usual: '<' | '>'): Text {
  const missing = spec.width - text.length;
  if (missing <= 0) return text;
  const align = spec.align === '' || spec.align === '=' ? usual : spec.align;
  const before = align === '<' ? 0 : align === '>' ? missing : Math.floor(missing / 2);
  const filling = (count: number): Text => Text.of(spec.fill.repeat(count));
  return Text.concat([filling(before), text, filling(missing - before)]);
}

export function formatNumber(value: bigint | number, spec: FormatSpec): Text {
  if (typeof value === 'bigint' && spec.type === 'c') {
    if (value < 0n || value > 0x10ffffn) throw valueError('%c arg not in range(0x110000)');
    return pad(Text.of(String.fromCodePoint(Number(value))), spec, '<');
  }
  const isInteger = typeof value === 'bigint' && /^[bdnoxX]?$/.test(spec.type);
  if (isInteger && spec.precision !== undefined) {
    throw valueError('Precision not allowed in integer format specifier');
  }
  const body = isInteger ? integerBody(value, spec) : floatBody(toFloat(value), spec);
  const negative = isInteger ? value < 0n : isNegative(toFloat(value));
  const sign = negative ? '-' : spec.sign === '-' ? '' : spec.sign;
  return signed(sign + body.prefix, body.digits, spec);
}

function isNegative(value: number): boolean {
  return value < 0 || Object.is(value, -0);
}

/** The digits grouped and filled up; zeros that fill are grouped too. */
function signed(prefix: string, digits: string, spec: FormatSpec): Text {
  const [, whole, rest] = /^([0-9a-fA-F]*)(.*)$/s.exec(digits)!;
  const size = /[bcoxX]/.test(spec.type) && spec.type !== 'c' ? 4 : 3;
  const group = (text: string): string =>
    spec.grouping === ''
      ? text
      : text.replace(new RegExp(`\\B(?=(?:[0-9a-fA-F]{${size}})+$)`, 'g'), spec.grouping);
  if (spec.align !== '=') return pad(Text.of(prefix + group(whole!) + rest), spec, '>');
  const room = spec.width - prefix.length - rest!.length;
  if (spec.fill !== '0') {
    return Text.of(prefix + (group(whole!) + rest).padStart(spec.width - prefix.length, spec.fill));
  }
  let filled = whole!;
  while (group(filled).length < room) filled = `0${filled}`;
  // Never with a separator in front.
  return Text.of(prefix + group(filled) + rest);
}

function integerBody(value: bigint, spec: FormatSpec): { prefix: string; digits: string } {
  const size = value < 0n ? -value : value;
  const base = { b: 2, o: 8, x: 16, X: 16 }[spec.type];
  if (base === undefined) return { prefix: '', digits: size.toString() };
  const digits = size.toString(base);
  return {
    prefix: spec.alternate ? `0${spec.type}` : '',
    digits: spec.type === 'X' ? digits.toUpperCase() : digits,
  };
}

function floatBody(value: number, spec: FormatSpec): { prefix: string; digits: string } {
  const type = spec.type;
  if (!/^[eEfFgGn%]?$/.test(type)) throw wrongType(type, 'float');
  let digits: string;
  if (!Number.isFinite(value)) digits = Number.isNaN(value) ? 'nan' : 'inf';
  else if (type === 'f' || type === 'F') digits = fixedText(value, spec.precision ?? 6);
  else if (type === 'e' || type === 'E') digits = scientific(value, spec.precision ?? 6);
  else if (type === '%') digits = fixedText(value * 100, spec.precision ?? 6);
  else if (type === '' && spec.precision === undefined) digits = floatText(Math.abs(value));
  else digits = general(value, spec);
  if (type === '%') digits += '%';
  return { prefix: '', digits: /[EFG]/.test(type) ? digits.toUpperCase() : digits };
}

function scientific(value: number, precision: number): string {
  const { digits, exponent } = scientificDigits(value, precision);
  const fraction = precision > 0 ? `.${digits.slice(1)}` : '';
  return `${digits[0]}${fraction}e${exponentText(exponent)}`;
}

/** The shorter of both ways, without zeros at the end. */
function general(value: number, spec: FormatSpec): string {
  const precision = Math.max(1, spec.precision ?? 6);
  const { digits, exponent } = scientificDigits(value, precision - 1);
  // Without a type there is always a digit behind the point.
  const isPlain = spec.type === '';
  const limit = isPlain ? precision - 1 : precision;
  const trim = (text: string): string =>
    spec.alternate || !text.includes('.') ? text : text.replace(/\.?0+$/, '');
  if (exponent < -4 || exponent >= limit) {
    const mantissa = digits.length > 1 ? `${digits[0]}.${digits.slice(1)}` : digits;
    return `${trim(mantissa)}e${exponentText(exponent)}`;
  }
  const text = trim(fixedText(value, Math.max(0, precision - 1 - exponent)));
  return isPlain && !text.includes('.') ? `${text}.0` : text;
}

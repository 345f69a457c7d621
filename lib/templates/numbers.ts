/** Numbers as Python reads, rounds and writes them. */
import { TemplateFailure, valueError } from './failure.js';

/** Shortest digits that read back as the same float. */
export function floatText(value: number): string {
  if (Number.isNaN(value)) return 'nan';
  if (!Number.isFinite(value)) return value > 0 ? 'inf' : '-inf';
  const [mantissa, power] = value.toExponential().split('e') as [string, string];
  const exponent = Number(power);
  const sign = value < 0 || Object.is(value, -0) ? '-' : '';
  const digits = mantissa.replace(/[-.]/g, '');
  if (exponent < -4 || exponent >= 16) {
    const fraction = digits.length > 1 ? `.${digits.slice(1)}` : '';
    return `${sign}${digits[0]}${fraction}e${exponentText(exponent)}`;
  }
  if (exponent < 0) return `${sign}0.${'0'.repeat(-exponent - 1)}${digits}`;
  const padded = digits.padEnd(exponent + 1, '0');
  return `${sign}${padded.slice(0, exponent + 1)}.${padded.slice(exponent + 1) || '0'}`;
}

/** With a sign and at least two digits. */
export function exponentText(exponent: number): string {
  return `${exponent < 0 ? '-' : '+'}${String(Math.abs(exponent)).padStart(2, '0')}`;
}

/** A finite float as numerator / 2^power. */
function fraction(value: number): { numerator: bigint; power: bigint } {
  let power = 0n;
  let scaled = value;
  // At most 1074 halvings of the exponent; each doubling is exact.
  while (!Number.isInteger(scaled)) {
    scaled *= 2;
    power++;
  }
  return { numerator: BigInt(scaled), power };
}

/** numerator / denominator, to the nearest integer, ties to even. */
export function divideToEven(numerator: bigint, denominator: bigint): bigint {
  const negative = numerator < 0n;
  const size = negative ? -numerator : numerator;
  let quotient = size / denominator;
  const twice = (size % denominator) * 2n;
  if (twice > denominator || (twice === denominator && quotient % 2n === 1n)) quotient++;
  return negative ? -quotient : quotient;
}

/** The float times 10^digits, rounded to an integer from its exact value, ties to even. */
export function scaledToInteger(value: number, digits: number): bigint {
  const { numerator, power } = fraction(value);
  if (digits >= 0) return divideToEven(numerator * 10n ** BigInt(digits), 2n ** power);
  return divideToEven(numerator, 2n ** power * 10n ** BigInt(-digits));
}

/** Digits after the point, of the size of a finite float. */
export function fixedText(value: number, digits: number): string {
  const size = scaledToInteger(Math.abs(value), digits)
    .toString()
    .padStart(digits + 1, '0');
  if (digits === 0) return size;
  return `${size.slice(0, -digits)}.${size.slice(-digits)}`;
}

/** Of the size of a finite float: its first 1 + `digits` digits and its power of ten. */
export function scientificDigits(value: number, digits: number): { digits: string; exponent: number } {
  const size = Math.abs(value);
  if (size === 0) return { digits: '0'.repeat(digits + 1), exponent: 0 };
  let exponent = Number(size.toExponential().split('e')[1]);
  let text = scaledToInteger(size, digits - exponent).toString();
  // 9.99 may become 10.0.
  if (text.length > digits + 1) {
    exponent++;
    text = scaledToInteger(size, digits - exponent).toString();
  }
  return { digits: text, exponent };
}

/** round(value, digits). */
export function roundFloat(value: number, digits: number): number {
  if (!Number.isFinite(value) || digits > 323) return value;
  if (digits < -308) return 0 * value;
  const scaled = scaledToInteger(value, digits);
  if (scaled === 0n) return value < 0 || Object.is(value, -0) ? -0 : 0;
  return Number(`${scaled}e${-digits}`);
}

/** round(value, digits) of an integer. */
export function roundInteger(value: bigint, digits: number): bigint {
  if (digits >= 0) return value;
  const unit = 10n ** BigInt(-digits);
  return divideToEven(value, unit) * unit;
}

const digitStart = /^\p{Nd}$/u;

/** A decimal digit of any script; -1: none. */
export function digitValue(character: string): number {
  if (character >= '0' && character <= '9') return character.charCodeAt(0) - 48;
  if (!digitStart.test(character)) return -1;
  // Digits of one script stand in a row that begins with its zero, at most 9 before.
  const code = character.codePointAt(0)!;
  let value = 0;
  while (value < 9 && digitStart.test(String.fromCodePoint(code - value - 1))) value++;
  // Mathematical digits follow each other in five rows without a gap.
  return code >= 0x1d7ce && code <= 0x1d7ff ? (code - 0x1d7ce) % 10 : value;
}

function asciiDigits(text: string): string {
  return text.replace(/\p{Nd}/gu, (character) => String(digitValue(character)));
}

/** As many digits as Python reads as an integer. */
const mostDigits = 4300;

/** int(text, base); undefined: it is none. */
export function parseInteger(text: string, base: number): bigint | undefined {
  if (text.length > mostDigits) return undefined;
  const [, sign, body] = /^([+-]?)(.*)$/s.exec(asciiDigits(stripSpaces(text)).toLowerCase())!;
  let digits = body!;
  let radix = base;
  const prefix = { '0x': 16, '0o': 8, '0b': 2 }[digits.slice(0, 2)];
  if (prefix !== undefined && (base === prefix || base === 0)) {
    radix = prefix;
    digits = digits.slice(2).replace(/^_/, '');
  } else if (base === 0) {
    if (/^0[0_]*[1-9]/.test(digits)) return undefined;
    radix = 10;
  }
  if (!/^[0-9a-z]+(_[0-9a-z]+)*$/.test(digits)) return undefined;
  let value = 0n;
  const plain = digits.replaceAll('_', '');
  if (radix === 10 && /^\d+$/.test(plain)) value = BigInt(plain);
  else {
    for (const character of plain) {
      const digit = Number.parseInt(character, 36);
      if (digit >= radix) return undefined;
      value = value * BigInt(radix) + BigInt(digit);
    }
  }
  return sign === '-' ? -value : value;
}

/** float(text); undefined: it is none. */
export function parseFloatText(text: string): number | undefined {
  const plain = asciiDigits(stripSpaces(text)).toLowerCase();
  const named = /^([+-]?)(inf|infinity|nan)$/.exec(plain);
  if (named) return named[2] === 'nan' ? Number.NaN : named[1] === '-' ? -Infinity : Infinity;
  const digits = '\\d+(?:_\\d+)*';
  const pattern = new RegExp(`^[+-]?(?:${digits}\\.?(?:${digits})?|\\.${digits})(?:e[+-]?${digits})?$`);
  return pattern.test(plain) ? Number(plain.replaceAll('_', '')) : undefined;
}

/** Python's white space: U+001C to U+001F belong to it, U+FEFF does not. */
export const spaces = '\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000';
const leading = new RegExp(`^[${spaces}]+`);
const space = new RegExp(`[${spaces}]`);

/** Without white space at its end. A pattern for it takes quadratic time. */
export function trimEnd(text: string): string {
  let end = text.length;
  while (end > 0 && space.test(text[end - 1]!)) end--;
  return text.slice(0, end);
}

function stripSpaces(text: string): string {
  return trimEnd(text).replace(leading, '');
}

/** int(value). */
export function truncate(value: number): bigint {
  if (Number.isNaN(value)) throw valueError('cannot convert float NaN to integer');
  if (!Number.isFinite(value)) {
    throw new TemplateFailure('OverflowError', 'cannot convert float infinity to integer');
  }
  return BigInt(Math.trunc(value));
}

/** A float of an integer. */
export function toFloat(value: bigint | number): number {
  const float = Number(value);
  if (typeof value === 'bigint' && !Number.isFinite(float)) {
    throw new TemplateFailure('OverflowError', 'int too large to convert to float');
  }
  return float;
}

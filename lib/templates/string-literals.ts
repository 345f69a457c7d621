/** Escapes in string literals: those of Python's unicode-escape. */
import { TemplateFailure, unsupported } from './failure.js';

const short: Readonly<Record<string, string>> = {
  '\n': '',
  '\\': '\\',
  "'": "'",
  '"': '"',
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
};

const escapes = /\\(?:([0-7]{1,3})|x([\da-fA-F]{0,2})|u([\da-fA-F]{0,4})|U([\da-fA-F]{0,8})|(.))/gs;
const lengths: Readonly<Record<string, number>> = { x: 2, u: 4, U: 8 };

/** The value of what stands between the quotes. */
export function unescapeString(body: string, line: number): string {
  if (!body.includes('\\')) return body;
  return body.replace(escapes, (whole: string, octal?: string, ...rest: (string | undefined)[]) => {
    if (octal !== undefined) return String.fromCharCode(Number.parseInt(octal, 8));
    const [x, u, long, other] = rest;
    const hex = x ?? u ?? long;
    if (hex !== undefined) return character(hex, whole[1]!, line);
    if (other === 'N') throw unsupported('a character by its name in a string (\\N{...})');
    // What is no escape stays as it is written.
    return short[other!] ?? whole;
  });
}

function character(hex: string, kind: string, line: number): string {
  const code = Number.parseInt(hex, 16);
  if (hex.length !== lengths[kind] || code > 0x10ffff) {
    throw new TemplateFailure('TemplateSyntaxError', `a broken escape \\${kind}${hex} in a string`, line);
  }
  return String.fromCodePoint(code);
}

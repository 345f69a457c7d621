/** Character classes of Oniguruma as classes of JavaScript's flag `v`, with Unicode's own white space, digits and words. */
import type { KvasirError } from '../../errors.js';

export interface ClassReader {
  readonly source: string;
  at: number;
  peek(text: string): boolean;
  take(text: string): boolean;
  next(): string;
  refuse(what: string): KvasirError;
}

const spaceClass = '\\t-\\r \\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000';
const wordClass = '\\p{L}\\p{M}\\p{N}\\p{Pc}';

const shorthands: Readonly<Record<string, string>> = {
  s: `[${spaceClass}]`,
  S: `[^${spaceClass}]`,
  d: '[\\p{Nd}]',
  D: '[^\\p{Nd}]',
  w: `[${wordClass}]`,
  W: `[^${wordClass}]`,
  h: '[0-9A-Fa-f]',
  H: '[^0-9A-Fa-f]',
};

export function shorthandClass(letter: string): string | undefined {
  return Object.hasOwn(shorthands, letter) ? shorthands[letter] : undefined;
}

/** POSIX brackets and properties of the same names. */
const posix: Readonly<Record<string, string>> = {
  alnum: '[\\p{Alphabetic}\\p{Nd}]',
  alpha: '[\\p{Alphabetic}]',
  ascii: '[\\x00-\\x7f]',
  blank: '[\\t\\p{Zs}]',
  cntrl: '[\\p{Cc}\\p{Cf}\\p{Cn}\\p{Co}\\p{Cs}]',
  digit: '[\\p{Nd}]',
  lower: '[\\p{Lowercase}]',
  punct: '[\\p{P}\\p{S}]',
  space: `[${spaceClass}]`,
  upper: '[\\p{Uppercase}]',
  word: `[${wordClass}]`,
  xdigit: '[0-9A-Fa-f]',
  any: '[^]',
};

/** A literal character, escaped for either place; under `(?i)` all that fold to the same. */
export function variantsOf(character: string, anyCase: boolean): string {
  const escaped = escapeLiteral(character);
  if (!anyCase) return escaped;
  const all = foldsOf(character);
  return all.length === 1 ? escaped : `[${all.map(escapeLiteral).join('')}]`;
}

function foldsOf(character: string): string[] {
  const all = new Set([character]);
  for (const one of [character.toLowerCase(), character.toUpperCase()]) {
    if (Array.from(one).length === 1) all.add(one);
  }
  // Characters that fold to a letter from outside of its pair.
  const more: Record<string, string> = { s: '\u017f', k: '\u212a', å: '\u212b' };
  for (const one of [...all]) {
    const extra = more[one.toLowerCase()];
    if (extra !== undefined) all.add(extra);
  }
  return [...all];
}

function escapeLiteral(character: string): string {
  if (/[\p{L}\p{N} _]/u.test(character)) return character;
  return `\\u{${character.codePointAt(0)!.toString(16)}}`;
}

/** The character that `\` and a letter stand for, code points in digits too. */
export function escapedPoint(reader: ClassReader, letter: string): string {
  const controls: Record<string, string> = {
    t: '\t',
    n: '\n',
    r: '\r',
    f: '\f',
    v: '\v',
    a: '\x07',
    e: '\x1b',
    '0': '\0',
  };
  if (Object.hasOwn(controls, letter)) return controls[letter]!;
  const rest = reader.source.slice(reader.at);
  const hex = letter === 'x' ? (/^\{([0-9A-Fa-f]+)\}/.exec(rest) ?? /^([0-9A-Fa-f]{1,2})/.exec(rest)) : null;
  const code = hex ?? (letter === 'u' ? /^([0-9A-Fa-f]{4})/.exec(rest) : null);
  if (code !== null) {
    const point = Number.parseInt(code[1]!, 16);
    if (point > 0x10ffff) throw reader.refuse(`"\\${letter}${code[0]}"`);
    reader.at += code[0].length;
    return String.fromCodePoint(point);
  }
  if (/[A-Za-z0-9]/.test(letter)) throw reader.refuse(`"\\${letter}"`);
  return letter;
}

/** Behind `\p` or `\P`. */
export function propertyClass(reader: ClassReader, negated: boolean, anyCase: boolean): string {
  const named = /^\{(\^?)([^}]*)\}/.exec(reader.source.slice(reader.at));
  if (named === null) throw reader.refuse('"\\p" without a name in braces');
  reader.at += named[0].length;
  const not = negated !== (named[1] === '^');
  const name = named[2]!.trim();
  const known = Object.entries(posix).find(([one]) => one === name.toLowerCase());
  const inner = known ? known[1] : `[${property(reader, name)}]`;
  // Letters of one case alone would have to fold.
  if (anyCase && /^(Lu|Ll|Lt|upper|lower|uppercase|lowercase)$/i.test(name)) {
    throw reader.refuse(`the property "${name}" without regard to case`);
  }
  return not ? `[^${inner}]` : inner;
}

function property(reader: ClassReader, name: string): string {
  for (const spelled of [name, `Script=${name}`, capitalized(name), `Script=${capitalized(name)}`]) {
    if (isProperty(spelled)) return `\\p{${spelled}}`;
  }
  throw reader.refuse(`the property "${name}"`);
}

/** As Unicode spells names: `lu` is Lu, `old_italic` is Old_Italic. */
function capitalized(name: string): string {
  return name
    .toLowerCase()
    .split(/[ _-]/)
    .map((word) => word.charAt(0).toUpperCase() + word.slice(1))
    .join('_');
}

function isProperty(name: string): boolean {
  try {
    new RegExp(`\\p{${name}}`, 'v');
    return true;
  } catch {
    return false;
  }
}

/** Behind `[`: to its end. Parts that meet with `&&` are classes of their own. */
export function readClass(reader: ClassReader, anyCase: boolean): string {
  const negated = reader.take('^');
  const parts: string[] = [];
  let members = '';
  let first = true;
  while (first || !reader.peek(']')) {
    if (reader.take('&&')) {
      parts.push(`[${members}]`);
      members = '';
    } else {
      members += readMember(reader, anyCase);
    }
    first = false;
  }
  reader.take(']');
  parts.push(`[${members}]`);
  return `[${negated ? '^' : ''}${parts.length === 1 ? members : parts.join('&&')}]`;
}

/** A class within, or a character, or a range of them. */
function readMember(reader: ClassReader, anyCase: boolean): string {
  const bracket = /^\[:(\^?)([a-z]+):\]/.exec(reader.source.slice(reader.at));
  if (bracket) {
    const inner = Object.hasOwn(posix, bracket[2]!) ? posix[bracket[2]!]! : undefined;
    if (inner === undefined) throw reader.refuse(`"${bracket[0]}"`);
    reader.at += bracket[0].length;
    return bracket[1] === '^' ? `[^${inner}]` : inner;
  }
  if (reader.take('[')) return readClass(reader, anyCase);
  const from = readPoint(reader, anyCase);
  if (from.length > 2) return from;
  const range = reader.peek('-') && !reader.source.startsWith('-]', reader.at);
  if (!range) return variantsOf(from, anyCase);
  const mark = reader.at;
  reader.take('-');
  if (reader.peek('[') || reader.peek('&&')) {
    reader.at = mark + 1;
    return `${variantsOf(from, anyCase)}\\-`;
  }
  const to = readPoint(reader, anyCase);
  if (to.length > 2) return `${variantsOf(from, anyCase)}\\-${to}`;
  return rangeOf(reader, from, to, anyCase);
}

function rangeOf(reader: ClassReader, from: string, to: string, anyCase: boolean): string {
  const [low, high] = [from.codePointAt(0)!, to.codePointAt(0)!];
  if (low > high) throw reader.refuse('a range that goes backwards');
  const range = `${escapeLiteral(from)}-${escapeLiteral(to)}`;
  if (!anyCase) return range;
  const extra = new Set<string>();
  if (high - low > 0x400) throw reader.refuse('a long range without regard to case');
  for (let c = low; c <= high; ++c) {
    for (const one of foldsOf(String.fromCodePoint(c))) extra.add(escapeLiteral(one));
  }
  return range + [...extra].join('');
}

/** One character, or a whole class (longer than any character). */
function readPoint(reader: ClassReader, anyCase: boolean): string {
  const character = reader.next();
  if (character !== '\\') return character;
  const letter = reader.next();
  if (letter === 'p' || letter === 'P') return propertyClass(reader, letter === 'P', anyCase);
  if (letter === 'b') return '\b';
  return shorthandClass(letter) ?? escapedPoint(reader, letter);
}

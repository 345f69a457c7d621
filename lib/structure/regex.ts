/**
 * Regular expressions in the syntax of JavaScript (flag u), as a grammar: classes, quantifiers, groups, alternatives.
 * What is no regular language (lookaround, backreferences, word boundaries) is refused by name, and so are anchors that do
 * not stand at the ends.
 */
import { KvasirError } from '../errors.js';
import { show } from '../given.js';
import { complement, type GrammarBuilder, lastCodePoint, type Node, type Ranges } from './grammar.js';

const deepest = 200;
const mostCount = 2 ** 30;
const digits: Ranges = [[0x30, 0x39]];
const word: Ranges = [...digits, [0x41, 0x5a], [0x5f, 0x5f], [0x61, 0x7a]];
const space: Ranges = [
  ...([
    [0x09, 0x0d],
    [0x20, 0x20],
    [0xa0, 0xa0],
    [0x1680, 0x1680],
    [0x2000, 0x200a],
  ] as const),
  ...([
    [0x2028, 0x2029],
    [0x202f, 0x202f],
    [0x205f, 0x205f],
    [0x3000, 0x3000],
    [0xfeff, 0xfeff],
  ] as const),
];
const lineEnds: Ranges = [
  [0x0a, 0x0a],
  [0x0d, 0x0d],
  [0x2028, 0x2029],
];
const classes: Readonly<Record<string, Ranges>> = {
  d: digits,
  D: complement(digits),
  w: word,
  W: complement(word),
  s: space,
  S: complement(space),
};
const controls: Readonly<Record<string, number>> = { n: 10, r: 13, t: 9, f: 12, v: 11, 0: 0 };

export interface RegexOptions {
  /** What a class of characters becomes; default: the characters. */
  chars?: (ranges: Ranges) => Node;
  /** A text that holds a match, as JSON Schema has it; default: a text that is one. */
  search?: boolean;
  /** What an error calls it. */
  name: string;
}

/** Throws INVALID_OPTION for what is no such expression, LIMIT_EXCEEDED for one nested too deeply. */
export function regexNode(builder: GrammarBuilder, pattern: string, options: RegexOptions): Node {
  return new RegexParser(builder, pattern, options).parse();
}

class RegexParser {
  readonly #builder: GrammarBuilder;
  readonly #pattern: string;
  readonly #name: string;
  readonly #search: boolean;
  readonly #chars: (ranges: Ranges) => Node;
  /** Code points. */
  readonly #text: string[];
  #at = 0;
  #depth = 0;

  constructor(builder: GrammarBuilder, pattern: string, { chars, search = false, name }: RegexOptions) {
    this.#builder = builder;
    this.#pattern = pattern;
    this.#name = name;
    this.#search = search;
    this.#chars = chars ?? ((ranges) => builder.chars(ranges));
    this.#text = Array.from(pattern);
  }

  parse(): Node {
    const node = this.#alternatives(true);
    if (this.#at < this.#text.length) this.#refuse('has a ) without its (');
    return node;
  }

  #refuse(problem: string): never {
    throw new KvasirError('INVALID_OPTION', `${this.#name} ${show(this.#pattern)} ${problem}.`);
  }

  #peek(text: string): boolean {
    for (let i = 0; i < text.length; i++) if (this.#text[this.#at + i] !== text[i]) return false;
    return true;
  }

  #take(text: string): boolean {
    if (!this.#peek(text)) return false;
    this.#at += text.length;
    return true;
  }

  #alternatives(outermost: boolean): Node {
    if (++this.#depth > deepest) {
      throw new KvasirError('LIMIT_EXCEEDED', `${this.#name} is nested more than ${deepest} deep.`);
    }
    const all = [this.#alternative(outermost)];
    while (this.#take('|')) all.push(this.#alternative(outermost));
    this.#depth--;
    return this.#builder.choice(all);
  }

  #alternative(outermost: boolean): Node {
    const parts: Node[] = [];
    const anything = () => this.#builder.repeat(this.#chars([[0, lastCodePoint]]), 0);
    const begins = outermost && this.#take('^');
    if (outermost && this.#search && !begins) parts.push(anything());
    let ends = false;
    while (this.#at < this.#text.length && !this.#peek('|') && !this.#peek(')')) {
      if (outermost && this.#endsHere()) {
        this.#at++;
        ends = true;
        break;
      }
      parts.push(this.#term());
    }
    if (outermost && this.#search && !ends) parts.push(anything());
    return this.#builder.sequence(parts);
  }

  #endsHere(): boolean {
    const next = this.#text[this.#at + 1];
    return this.#text[this.#at] === '$' && (next === undefined || next === '|');
  }

  #term(): Node {
    const atom = this.#atom();
    const [least, most] = this.#quantifier();
    if (least === 1 && most === 1) return atom;
    return this.#builder.repeat(atom, least, most);
  }

  #quantifier(): [least: number, most: number | undefined] {
    let counts: [number, number | undefined] = [1, 1];
    if (this.#take('*')) counts = [0, undefined];
    else if (this.#take('+')) counts = [1, undefined];
    else if (this.#take('?')) counts = [0, 1];
    else if (this.#peek('{')) counts = this.#counts();
    else return counts;
    this.#take('?'); // lazy: the same language
    if (/[*+?{]/.test(this.#text[this.#at] ?? ''))
      this.#refuse('has a quantifier without anything to repeat');
    return counts;
  }

  #counts(): [least: number, most: number | undefined] {
    const end = this.#text.indexOf('}', this.#at);
    const inside = end < 0 ? '' : this.#text.slice(this.#at + 1, end).join('');
    const [, from, comma, to] = /^(\d+)(,?)(\d*)$/.exec(inside) ?? this.#refuse('has a { that is no count');
    this.#at = end + 1;
    const least = Math.min(Number(from), mostCount);
    if (comma === '') return [least, least];
    if (to === '') return [least, undefined];
    if (Number(to) < least) this.#refuse('has a count whose ends are out of order');
    return [least, Math.min(Number(to), mostCount)];
  }

  #atom(): Node {
    if (this.#take('(')) return this.#group();
    if (this.#take('[')) return this.#chars(this.#class());
    if (this.#take('.')) return this.#chars(complement(lineEnds));
    if (this.#take('\\')) return this.#chars(this.#escape(false));
    const char = this.#text[this.#at++];
    if ('^$'.includes(char)) this.#refuse(`has an anchor (${char}) that is not at its end`);
    if ('*+?{}]'.includes(char)) this.#refuse(`has a ${char} out of place`);
    const code = char.codePointAt(0) as number;
    return this.#chars([[code, code]]);
  }

  #group(): Node {
    if (this.#take('?')) {
      if (this.#peek('=') || this.#peek('!')) this.#refuse('has a lookahead');
      if (this.#peek('<=') || this.#peek('<!')) this.#refuse('has a lookbehind');
      if (this.#take('<')) {
        const end = this.#text.indexOf('>', this.#at);
        if (end < 0) this.#refuse('has a group whose name does not end');
        this.#at = end + 1;
      } else if (!this.#take(':')) this.#refuse('has a group of an unknown kind');
    }
    const node = this.#alternatives(false);
    if (!this.#take(')')) this.#refuse('has a ( without its )');
    return node;
  }

  #class(): Ranges {
    const negated = this.#take('^');
    const ranges: (readonly [number, number])[] = [];
    while (!this.#take(']')) {
      if (this.#at >= this.#text.length) this.#refuse('has a [ without its ]');
      const from = this.#classAtom();
      const isRange = this.#peek('-') && this.#text[this.#at + 1] !== ']';
      if (!isRange) {
        ranges.push(...from);
        continue;
      }
      this.#at++;
      const to = this.#classAtom();
      const single =
        from.length === 1 && from[0][0] === from[0][1] && to.length === 1 && to[0][0] === to[0][1];
      if (!single || to[0][0] < from[0][0]) this.#refuse('has a range whose ends are no characters in order');
      ranges.push([from[0][0], to[0][0]]);
    }
    return negated ? complement(ranges) : ranges;
  }

  #classAtom(): Ranges {
    if (this.#at >= this.#text.length) this.#refuse('has a [ without its ]');
    if (this.#take('\\')) return this.#escape(true);
    const code = this.#text[this.#at++].codePointAt(0) as number;
    return [[code, code]];
  }

  #escape(inClass: boolean): Ranges {
    const char = this.#text[this.#at++];
    if (char === undefined) this.#refuse('ends with a \\');
    if (Object.hasOwn(classes, char)) return classes[char];
    if (!inClass && /[bB]/.test(char)) this.#refuse(`has a word boundary (\\${char})`);
    if (!inClass && /[1-9k]/.test(char)) this.#refuse(`has a backreference (\\${char})`);
    if (char === 'p' || char === 'P') return this.#property(char === 'P');
    const code = this.#escapedCode(char, inClass);
    return [[code, code]];
  }

  #escapedCode(char: string, inClass: boolean): number {
    if (inClass && char === 'b') return 8;
    if (Object.hasOwn(controls, char)) return controls[char];
    if (char === 'c') {
      const letter = this.#text[this.#at++] ?? '';
      if (!/^[A-Za-z]$/.test(letter)) this.#refuse('has a \\c without a letter');
      return letter.charCodeAt(0) % 32;
    }
    if (char === 'x') return this.#hex(2);
    if (char === 'u') return this.#unicodeEscape();
    if (/^[A-Za-z0-9]$/.test(char)) this.#refuse(`has an unknown escape (\\${char})`);
    return char.codePointAt(0) as number;
  }

  #unicodeEscape(): number {
    if (!this.#take('{')) {
      const high = this.#hex(4);
      if (high < 0xd800 || high > 0xdbff || !this.#take('\\u')) return high;
      return 0x10000 + (high - 0xd800) * 0x400 + (this.#hex(4) - 0xdc00);
    }
    const end = this.#text.indexOf('}', this.#at);
    const code = Number.parseInt(this.#text.slice(this.#at, end).join(''), 16);
    if (end < 0 || !(code <= lastCodePoint)) this.#refuse('has a \\u{ } that is no character');
    this.#at = end + 1;
    return code;
  }

  #hex(length: number): number {
    const text = this.#text.slice(this.#at, this.#at + length).join('');
    if (!new RegExp(`^[0-9A-Fa-f]{${length}}$`).test(text)) this.#refuse('has an escape with too few digits');
    this.#at += length;
    return Number.parseInt(text, 16);
  }

  #property(negated: boolean): Ranges {
    const end = this.#text.indexOf('}', this.#at);
    const name = this.#text.slice(this.#at, end + 1).join('');
    if (end < 0 || !/^\{[A-Za-z_=]{1,60}\}$/.test(name)) this.#refuse('has a \\p without a property');
    this.#at = end + 1;
    const ranges = rangesOfProperty(name) ?? this.#refuse(`has an unknown property (\\p${name})`);
    return negated ? complement(ranges) : ranges;
  }
}

const properties = new Map<string, Ranges>();
const mostProperties = 100;

/** Asks JavaScript's own expressions, block by block: most blocks are in or out as a whole. */
function rangesOfProperty(name: string): Ranges | undefined {
  const known = properties.get(name);
  if (known) return known;
  let all: RegExp;
  try {
    all = new RegExp(`\\p${name}+`, 'gu');
  } catch {
    return undefined;
  }
  const ranges: [number, number][] = [];
  for (let first = 0; first <= lastCodePoint; first += 0x1000) {
    if (first === 0xd000) {
      collect(all, first, 0xd7ff, ranges);
    } else if (first === 0xe000 || first < 0xd000 || first > 0xdfff) {
      collect(all, first, first + 0xfff, ranges);
    }
  }
  if (properties.size < mostProperties) properties.set(name, ranges);
  return ranges;
}

function collect(all: RegExp, first: number, last: number, out: [number, number][]): void {
  const text = String.fromCodePoint(...Array.from({ length: last - first + 1 }, (_, i) => first + i));
  const units = first > 0xffff ? 2 : 1;
  for (const match of text.matchAll(all)) {
    const from = first + match.index / units;
    out.push([from, from + match[0].length / units - 1]);
  }
}

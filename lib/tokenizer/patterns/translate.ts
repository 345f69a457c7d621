/**
 * Translates a pattern from Oniguruma's Ruby syntax, which definitions use, to a JavaScript expression with the flag `v`.
 * What has no counterpart is refused by name: comments and free spacing, absent expressions, conditions, subexpression calls,
 * `\G`, `\K`, `\X`, properties under `(?i)`, and quantifiers of quantifiers.
 */
import { KvasirError } from '../../errors.js';
import {
  type ClassReader,
  escapedPoint,
  propertyClass,
  readClass,
  shorthandClass,
  variantsOf,
} from './translate-class.js';

const anything = '[^]';
const atStart = `(?<!${anything})`;
const atEnd = `(?!${anything})`;

/** Assertions and classes of one letter. */
const escapes: Readonly<Record<string, string>> = {
  A: atStart,
  z: atEnd,
  Z: `(?=\\n?${atEnd})`,
  R: '(?:\\r\\n|[\\n-\\r\\u0085\\u2028\\u2029])',
  N: '[^\\n]',
  O: anything,
};

class Translator implements ClassReader {
  at = 0;
  #groups = 0;

  constructor(readonly source: string) {}

  refuse(what: string): KvasirError {
    return new KvasirError(
      'MODEL_FORMAT',
      `The tokenizer's pattern ${JSON.stringify(this.source)} uses ${what}, which is not supported.`,
    );
  }

  peek(text: string): boolean {
    return this.source.startsWith(text, this.at);
  }

  take(text: string): boolean {
    if (!this.peek(text)) return false;
    this.at += text.length;
    return true;
  }

  /** The next character. */
  next(): string {
    const point = this.source.codePointAt(this.at);
    if (point === undefined) throw this.refuse('an unfinished construct');
    const character = String.fromCodePoint(point);
    this.at += character.length;
    return character;
  }

  /** Alternatives up to a closing parenthesis or the end. */
  alternatives(anyCase: boolean): string {
    let out = '';
    let folds = anyCase;
    while (this.at < this.source.length && !this.peek(')')) {
      if (this.take('|')) {
        out += '|';
        continue;
      }
      const option = /^\(\?([imx]*)(?:-([imx]*))?\)/.exec(this.source.slice(this.at));
      if (option) {
        this.at += option[0].length;
        folds = this.#options(option[1]!, option[2] ?? '', folds);
        // The rest of the group, its alternatives too, is under the option.
        return `${out}(?:${this.alternatives(folds)})`;
      }
      out += this.#quantified(folds);
    }
    return out;
  }

  #options(on: string, off: string, anyCase: boolean): boolean {
    for (const letter of on + off) if (letter !== 'i') throw this.refuse(`the option "${letter}"`);
    return on.includes('i') || (anyCase && !off.includes('i'));
  }

  #quantified(anyCase: boolean): string {
    const atom = this.#atom(anyCase);
    const quantifier = this.#quantifier();
    if (quantifier === undefined) return atom;
    const possessive = !quantifier.startsWith('{') && this.take('+');
    const lazy = !possessive && this.take('?') ? '?' : '';
    if (/^[*+?]/.test(this.source.slice(this.at)) || this.#quantifierAhead()) {
      throw this.refuse('a quantifier of a quantifier');
    }
    const repeated = `${atom}${quantifier}${lazy}`;
    return possessive ? this.#atomic(repeated) : repeated;
  }

  #quantifierAhead(): boolean {
    return /^\{(\d+(,\d*)?|,\d+)\}/.test(this.source.slice(this.at));
  }

  #quantifier(): string | undefined {
    for (const one of ['*', '+', '?']) if (this.take(one)) return one;
    const counted = /^\{(\d*)(,?)(\d*)\}/.exec(this.source.slice(this.at));
    if (counted === null || (counted[1] === '' && counted[3] === '')) return undefined;
    this.at += counted[0].length;
    return `{${counted[1] === '' ? '0' : counted[1]}${counted[2]}${counted[3]}}`;
  }

  /** What has matched is never given back: a look-ahead is not entered again. */
  #atomic(inner: string): string {
    const name = `atomic${this.#groups++}`;
    return `(?:(?=(?<${name}>${inner}))\\k<${name}>)`;
  }

  #atom(anyCase: boolean): string {
    const character = this.next();
    switch (character) {
      case '(':
        return this.#group(anyCase);
      case '[':
        return readClass(this, anyCase);
      case '\\':
        return this.#escape(anyCase);
      case '.':
        return '[^\\n]';
      case '^':
        // At the start of a line, but not behind the last line end of the text.
        return `(?:${atStart}|(?<=\\n)(?=${anything}))`;
      case '$':
        return '(?![^\\n])';
      case '*':
      case '+':
      case '?':
        throw this.refuse(`"${character}" with nothing before it`);
      default:
        return variantsOf(character, anyCase);
    }
  }

  #group(anyCase: boolean): string {
    if (!this.take('?')) return this.#close('(?:', anyCase);
    for (const look of ['=', '!', '<=', '<!', ':']) {
      if (this.take(look)) return this.#close(`(?${look}`, anyCase);
    }
    if (this.take('>')) return this.#atomic(this.#close('(?:', anyCase));
    const named = /^(?:<([A-Za-z_]\w*)>|'([A-Za-z_]\w*)')/.exec(this.source.slice(this.at));
    if (named) {
      this.at += named[0].length;
      return this.#close('(?:', anyCase);
    }
    const option = /^([imx]*)(?:-([imx]*))?:/.exec(this.source.slice(this.at));
    if (option) {
      this.at += option[0].length;
      return this.#close('(?:', this.#options(option[1]!, option[2] ?? '', anyCase));
    }
    throw this.refuse(`the group "(?${this.source.slice(this.at, this.at + 2)}"`);
  }

  #close(open: string, anyCase: boolean): string {
    const inner = this.alternatives(anyCase);
    if (!this.take(')')) throw this.refuse('a group that is not closed');
    return `${open}${inner})`;
  }

  #escape(anyCase: boolean): string {
    const letter = this.next();
    if (Object.hasOwn(escapes, letter)) return escapes[letter]!;
    if (letter === 'b' || letter === 'B') return this.#boundary(letter === 'b');
    if (letter === 'p' || letter === 'P') return propertyClass(this, letter === 'P', anyCase);
    const shorthand = shorthandClass(letter);
    if (shorthand !== undefined) return shorthand;
    if (/[1-9gkGKXyY]/.test(letter)) throw this.refuse(`"\\${letter}"`);
    return variantsOf(escapedPoint(this, letter), anyCase);
  }

  #boundary(wanted: boolean): string {
    const word = shorthandClass('w')!;
    const inside = `(?<=${word})(?=${word})|(?<!${word})(?!${word})`;
    const edge = `(?<=${word})(?!${word})|(?<!${word})(?=${word})`;
    return `(?:${wanted ? edge : inside})`;
  }
}

/** With the flags `g` and `v`. Throws MODEL_FORMAT. */
export function translatePattern(source: string): RegExp {
  const translator = new Translator(source);
  const translated = translator.alternatives(false);
  if (translator.at < source.length) throw translator.refuse('a parenthesis that closes nothing');
  try {
    return new RegExp(translated, 'gv');
  } catch (cause) {
    throw new KvasirError(
      'MODEL_FORMAT',
      `The tokenizer's pattern ${JSON.stringify(source)} cannot be read: ${(cause as Error).message}`,
      { cause },
    );
  }
}

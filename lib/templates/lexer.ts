/**
 * Cuts a template into tokens by the rules of Jinja2 with `trim_blocks` and `lstrip_blocks`: one newline behind a block
 * or comment goes, and so does the white space before one that begins its line; `-` takes all white space on its side,
 * `+` keeps it. Line ends become `\n`, and one at the very end goes.
 */
import { LimitReached, TemplateFailure } from './failure.js';
import { spaces, trimEnd } from './numbers.js';
import { unescapeString } from './string-literals.js';
import type { Token, TokenKind } from './tokens.js';

const space = `[${spaces}]`;
const rawBegin = new RegExp(`\\{%([-+]?)${space}*raw${space}*(?:-%\\}${space}*|%\\})`, 'y');
const rawEnd = new RegExp(`\\{%([-+]?)${space}*endraw${space}*(?:\\+%\\}|-%\\}${space}*|%\\}\\n?)`, 'g');
const commentEnd = new RegExp(`\\+#\\}|-#\\}${space}*|#\\}\\n?`, 'g');
const blockEnd = new RegExp(`\\+%\\}|-%\\}${space}*|%\\}\\n?`, 'y');
const variableEnd = new RegExp(`-\\}\\}${space}*|\\}\\}`, 'y');
const opening = /\{[{%#]/g;

const digits = (set: string): string => `${set}(?:_?${set})*`;
const inside: readonly (readonly [TokenKind | 'space', RegExp])[] = [
  ['space', new RegExp(`${space}+`, 'y')],
  [
    'float',
    new RegExp(
      `(?<!\\.)${digits('\\d')}(?:(?:\\.${digits('\\d')})?e[+-]?${digits('\\d')}|\\.${digits('\\d')})`,
      'iy',
    ),
  ],
  ['integer', /0b(?:_?[01])+|0o(?:_?[0-7])+|0x(?:_?[\da-f])+|[1-9](?:_?\d)*|0(?:_?0)*/iy],
  ['name', /[\p{L}\p{N}_\p{M}]+/uy],
  ['string', /'[^'\\]*(?:\\.[^'\\]*)*'|"[^"\\]*(?:\\.[^"\\]*)*"/sy],
  ['operator', /\/\/|\*\*|==|!=|>=|<=|[-+/*%~[\](){}><=.:|,;]/y],
];

const identifier = /^[\p{XID_Start}_][\p{XID_Continue}]*$/u;

const partners: Readonly<Record<string, string>> = { '(': ')', '[': ']', '{': '}' };

/** UTF-16 units; the longest templates that are known have 30,000. */
const longestTemplate = 2 ** 21;

export function tokenize(template: string): Token[] {
  if (template.length > longestTemplate) {
    throw new LimitReached(`a template of more than ${longestTemplate} characters`);
  }
  const lines = template.split(/\r\n|\r|\n/);
  if (lines.at(-1) === '') lines.pop();
  return new Lexer(lines.join('\n')).run();
}

class Lexer {
  readonly #tokens: Token[] = [];
  #at = 0;
  #line = 1;
  /** The last thing read ended a line. */
  #startsLine = true;

  constructor(readonly source: string) {}

  run(): Token[] {
    while (this.#at < this.source.length) this.#root();
    this.#push('eof', '');
    return this.#tokens;
  }

  #push(kind: TokenKind, text: string): void {
    this.#tokens.push({ kind, text, line: this.#line });
  }

  #fail(message: string): TemplateFailure {
    return new TemplateFailure('TemplateSyntaxError', message, this.#line);
  }

  /** Goes on to an offset, counting lines. */
  #advance(to: number): void {
    for (let i = this.#at; i < to; ++i) if (this.source[i] === '\n') this.#line++;
    this.#startsLine = to > this.#at ? this.source[to - 1] === '\n' : this.#startsLine;
    this.#at = to;
  }

  #match(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = this.#at;
    return pattern.exec(this.source);
  }

  /** Text up to the next tag, then the tag. */
  #root(): void {
    const found = this.#match(opening);
    if (found === null) {
      this.#data(this.source.slice(this.#at));
      this.#advance(this.source.length);
      return;
    }
    const tag = found[0];
    const sign = this.source[found.index + 2];
    const text = this.source.slice(this.#at, found.index);
    this.#data(stripBefore(text, sign, tag !== '{{', this.#startsLine));
    this.#advance(found.index);
    const raw = tag === '{%' ? this.#match(rawBegin) : null;
    if (tag === '{#') this.#comment();
    else if (raw) this.#raw(raw[0].length);
    else this.#tag(tag, sign);
  }

  #tag(tag: string, sign: string | undefined): void {
    this.#push(tag === '{%' ? 'block_begin' : 'variable_begin', tag);
    this.#advance(this.#at + (sign === '-' || sign === '+' ? 3 : 2));
    this.#expressions(tag === '{%' ? 'block_end' : 'variable_end');
  }

  #data(text: string): void {
    if (text !== '') this.#push('data', text);
  }

  #comment(): void {
    // A sign before the text of the comment is part of the opening tag.
    const start = this.#at + (/[-+]/.test(this.source[this.#at + 2] ?? '') ? 3 : 2);
    commentEnd.lastIndex = start;
    const end = commentEnd.exec(this.source);
    if (end === null) throw this.#fail('Missing end of comment tag');
    this.#advance(end.index + end[0].length);
  }

  #raw(length: number): void {
    this.#advance(this.#at + length);
    const end = this.#match(rawEnd);
    if (end === null) throw this.#fail('Missing end of raw directive');
    const text = this.source.slice(this.#at, end.index);
    this.#data(stripBefore(text, end[1] || undefined, true, this.#startsLine));
    this.#advance(end.index + end[0].length);
  }

  /** What stands between the signs of a tag. */
  #expressions(end: 'block_end' | 'variable_end'): void {
    const open: string[] = [];
    while (this.#at < this.source.length) {
      if (open.length === 0) {
        const done = this.#match(end === 'block_end' ? blockEnd : variableEnd);
        if (done) {
          this.#push(end, done[0]);
          this.#advance(this.#at + done[0].length);
          return;
        }
      }
      this.#token(open);
    }
  }

  #token(open: string[]): void {
    for (const [kind, pattern] of inside) {
      const text = this.#match(pattern)?.[0];
      if (text === undefined) continue;
      if (kind === 'name' && !identifier.test(text)) throw this.#fail('Invalid character in identifier');
      if (kind === 'operator') this.#balance(text, open);
      if (kind === 'string') this.#push('string', unescapeString(text.slice(1, -1), this.#line));
      else if (kind !== 'space') this.#push(kind, text);
      this.#advance(this.#at + text.length);
      return;
    }
    const character = String.fromCodePoint(this.source.codePointAt(this.#at)!);
    throw this.#fail(`unexpected char '${character}' at ${this.#at}`);
  }

  #balance(text: string, open: string[]): void {
    const partner = partners[text];
    if (partner !== undefined) open.push(partner);
    else if (/^[)\]}]$/.test(text)) {
      const expected = open.pop();
      if (expected === undefined) throw this.#fail(`unexpected '${text}'`);
      if (expected !== text) throw this.#fail(`unexpected '${text}', expected '${expected}'`);
    }
  }
}

const blank = new RegExp(`^${space}*$`);

/** Text without the white space that the tag behind it takes. */
function stripBefore(text: string, sign: string | undefined, isBlock: boolean, startsLine: boolean): string {
  if (sign === '-') return trimEnd(text);
  if (sign === '+' || !isBlock) return text;
  const line = text.lastIndexOf('\n') + 1;
  return (line > 0 || startsLine) && blank.test(text.slice(line)) ? text.slice(0, line) : text;
}

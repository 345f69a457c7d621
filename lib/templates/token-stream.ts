/** Tokens with a place in them, and Jinja2's way of asking what comes. */
import { LimitReached, TemplateFailure } from './failure.js';
import type { Token, TokenKind } from './tokens.js';

/** Expressions and blocks inside each other. */
const deepest = 150;

export class TokenStream {
  #at = 0;
  #depth = 0;
  constructor(readonly tokens: readonly Token[]) {}

  get current(): Token {
    return this.tokens[this.#at]!;
  }

  get following(): Token {
    return this.tokens[Math.min(this.#at + 1, this.tokens.length - 1)]!;
  }

  next(): Token {
    const token = this.current;
    if (token.kind !== 'eof') this.#at++;
    return token;
  }

  is(kind: TokenKind, text?: string): boolean {
    const { current } = this;
    return current.kind === kind && (text === undefined || current.text === text);
  }

  isOperator(...texts: string[]): boolean {
    return this.current.kind === 'operator' && texts.includes(this.current.text);
  }

  isName(...names: string[]): boolean {
    return this.current.kind === 'name' && names.includes(this.current.text);
  }

  /** Goes past it if it is there. */
  skip(kind: TokenKind, text: string): boolean {
    if (!this.is(kind, text)) return false;
    this.next();
    return true;
  }

  expect(kind: TokenKind, text?: string): Token {
    if (!this.is(kind, text)) {
      throw this.fail(`expected ${text === undefined ? kind : `'${text}'`}, got ${this.described}`);
    }
    return this.next();
  }

  get described(): string {
    const { kind, text } = this.current;
    return kind === 'eof' ? 'the end of the template' : `'${text}'`;
  }

  fail(message: string, line = this.current.line): TemplateFailure {
    return new TemplateFailure('TemplateSyntaxError', message, line);
  }

  /** Runs a rule that may contain itself. */
  nested<T>(rule: () => T): T {
    if (++this.#depth > deepest) {
      const limit = new LimitReached(`expressions and blocks more than ${deepest} deep`);
      limit.line = this.current.line;
      throw limit;
    }
    const result = rule();
    this.#depth--;
    return result;
  }
}

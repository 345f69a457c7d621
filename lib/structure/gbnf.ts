/**
 * Grammars in GBNF, the notation of llama.cpp: `name ::= ...` with literals, classes, groups, alternatives, repetitions and
 * references; the whole is `root`. Left recursion is refused when it is compiled.
 */
import { KvasirError } from '../errors.js';
import { cut } from '../given.js';
import { complement, type GrammarBuilder, lastCodePoint, type Node } from './grammar.js';

const deepest = 200;
const mostCount = 2 ** 30;
const escapes: Readonly<Record<string, number>> = {
  n: 10,
  r: 13,
  t: 9,
  '"': 34,
  '\\': 92,
  '[': 91,
  ']': 93,
  '-': 45,
  '^': 94,
  '.': 46,
  '/': 47,
};

/** The node of `root`. Throws INVALID_OPTION with line and column, LIMIT_EXCEEDED. */
export function gbnfNode(builder: GrammarBuilder, grammar: string): Node {
  return new GbnfParser(builder, grammar).parse();
}

class GbnfParser {
  readonly #rules = new Map<string, { rule: number; defined: boolean; at: number }>();
  #at = 0;
  #depth = 0;

  constructor(
    readonly builder: GrammarBuilder,
    readonly text: string,
  ) {}

  parse(): Node {
    this.#skip(true);
    while (this.#at < this.text.length) this.#rule();
    for (const [name, { defined, at }] of this.#rules) {
      if (!defined) this.#refuse(`names a rule that it does not have, ${cut(name)}`, at);
    }
    const root = this.#rules.get('root') ?? this.#refuse('has no rule root');
    return this.builder.rule(root.rule);
  }

  #refuse(problem: string, at = this.#at): never {
    const lines = this.text.slice(0, at).split('\n');
    const where = `line ${lines.length}, column ${lines[lines.length - 1].length + 1}`;
    throw new KvasirError('INVALID_OPTION', `The grammar ${problem} (${where}).`);
  }

  /** Spaces and comments; ends of lines where they mean nothing. */
  #skip(lines: boolean): void {
    const blank = lines ? /(?:[ \t\r\n]|#[^\n]*)*/y : /(?:[ \t]|#[^\n]*)*/y;
    blank.lastIndex = this.#at;
    blank.test(this.text);
    this.#at = blank.lastIndex;
  }

  #take(text: string): boolean {
    if (!this.text.startsWith(text, this.#at)) return false;
    this.#at += text.length;
    return true;
  }

  #name(): string | undefined {
    const name = /[A-Za-z0-9_-]+/y;
    name.lastIndex = this.#at;
    const found = name.exec(this.text)?.[0];
    if (found !== undefined) this.#at += found.length;
    return found;
  }

  #ruleOf(name: string): { rule: number; defined: boolean; at: number } {
    const known = this.#rules.get(name) ?? { rule: this.builder.declare(), defined: false, at: this.#at };
    this.#rules.set(name, known);
    return known;
  }

  #rule(): void {
    const at = this.#at;
    const name = this.#name() ?? this.#refuse('has something that is no rule');
    this.#skip(true);
    if (!this.#take('::=')) this.#refuse('has a rule without ::=');
    const entry = this.#ruleOf(name);
    if (entry.defined) this.#refuse(`defines ${cut(name)} twice`, at);
    entry.defined = true;
    this.#skip(true);
    this.builder.define(entry.rule, this.#alternatives(false));
    if (this.#at < this.text.length && this.text[this.#at] !== '\n' && this.text[this.#at] !== '\r')
      this.#refuse('has something that is no part of a rule');
    this.#skip(true);
  }

  #alternatives(nested: boolean): Node {
    if (++this.#depth > deepest) {
      throw new KvasirError('LIMIT_EXCEEDED', `The grammar has groups nested more than ${deepest} deep.`);
    }
    const all = [this.#sequence(nested)];
    while (this.#bar(nested)) all.push(this.#sequence(nested));
    this.#depth--;
    return this.builder.choice(all);
  }

  /** A bar may begin the next line. */
  #bar(nested: boolean): boolean {
    const before = this.#at;
    this.#skip(true);
    if (this.#take('|')) {
      this.#skip(true);
      return true;
    }
    if (!nested) this.#at = before;
    return false;
  }

  #sequence(nested: boolean): Node {
    const parts: Node[] = [];
    for (;;) {
      this.#skip(nested);
      const part = this.#item();
      if (part === undefined) return this.builder.sequence(parts);
      parts.push(this.#repeated(part));
    }
  }

  #item(): Node | undefined {
    if (this.#take('"')) return this.#literal();
    if (this.#take('[')) return this.#class();
    if (this.#take('.')) return this.builder.chars([[0, lastCodePoint]]);
    if (this.#take('(')) {
      this.#skip(true);
      const node = this.#alternatives(true);
      this.#skip(true);
      if (!this.#take(')')) this.#refuse('has a ( without its )');
      return node;
    }
    const name = this.#name();
    return name === undefined ? undefined : this.builder.rule(this.#ruleOf(name).rule);
  }

  #repeated(node: Node): Node {
    if (this.#take('*')) return this.builder.repeat(node, 0);
    if (this.#take('+')) return this.builder.repeat(node, 1);
    if (this.#take('?')) return this.builder.optional(node);
    if (!this.#take('{')) return node;
    const counts = /\s*(\d+)\s*(,?)\s*(\d*)\s*\}/y;
    counts.lastIndex = this.#at;
    const [whole, from, comma, to] = counts.exec(this.text) ?? this.#refuse('has a { that is no count');
    this.#at += whole.length;
    const least = Math.min(Number(from), mostCount);
    if (comma === '') return this.builder.repeat(node, least, least);
    if (to === '') return this.builder.repeat(node, least);
    if (Number(to) < least) this.#refuse('has a count whose ends are out of order');
    return this.builder.repeat(node, least, Math.min(Number(to), mostCount));
  }

  #literal(): Node {
    let text = '';
    while (!this.#take('"')) text += String.fromCodePoint(this.#character('"'));
    return text === '' ? this.builder.sequence([]) : this.builder.literal(text);
  }

  #class(): Node {
    const negated = this.#take('^');
    const ranges: [number, number][] = [];
    while (!this.#take(']')) {
      const from = this.#character(']');
      const isRange = this.text[this.#at] === '-' && this.text[this.#at + 1] !== ']';
      if (isRange) this.#at++;
      const to = isRange ? this.#character(']') : from;
      if (to < from) this.#refuse('has a range whose ends are out of order');
      ranges.push([from, to]);
    }
    return this.builder.chars(negated ? complement(ranges) : ranges);
  }

  #character(closing: string): number {
    const code = this.text.codePointAt(this.#at);
    if (code === undefined || code === 10) this.#refuse(`has no closing ${closing}`);
    this.#at += code > 0xffff ? 2 : 1;
    if (code !== 92) return code;
    const escaped = this.text[this.#at++] ?? '';
    const digits = { x: 2, u: 4, U: 8 }[escaped];
    if (digits === undefined) {
      if (Object.hasOwn(escapes, escaped)) return escapes[escaped];
      this.#refuse(`has an unknown escape, \\${escaped}`);
    }
    const hex = this.text.slice(this.#at, this.#at + digits);
    const value = Number.parseInt(hex, 16);
    if (!/^[0-9A-Fa-f]+$/.test(hex) || hex.length < digits || value > lastCodePoint)
      this.#refuse('has an escape that is no character');
    this.#at += digits;
    return value;
  }
}

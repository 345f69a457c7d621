/** Builds a grammar for the native engine: a table of nodes in which children stand before their parents. */
import { KvasirError } from '../errors.js';
import type { GrammarTable } from '../native.js';

/** An index into the table. */
export type Node = number;
/** Code points, first and last of each range, ascending and apart. */
export type Ranges = readonly (readonly [first: number, last: number])[];

/** The numbers of `IrOp` in native/grammar/ir.h. */
const op = { literal: 0, chars: 1, sequence: 2, choice: 3, repeat: 4, rule: 5, intersect: 6, subtract: 7 };
const mostNodes = 400_000;
const encoder = new TextEncoder();
export const lastCodePoint = 0x10ffff;

/** No text in UTF-8 has it. */
const tokenMark = 0xff;
const firstDigit = 0xf8;
const digitBase = 6;
const digitCount = 8;

/** A special token as bytes, which no text has: by them it stands in grammars and in the vocabulary's tree. */
export function tokenCode(id: number): Uint8Array {
  const code = new Uint8Array(1 + digitCount).fill(tokenMark);
  for (let i = digitCount, rest = id; i > 0; i--, rest = Math.floor(rest / digitBase))
    code[i] = firstDigit + (rest % digitBase);
  return code;
}

/** A token that no grammar takes: by its bytes it would begin as a special one does. */
export function hasTokenMark(bytes: Uint8Array): boolean {
  return bytes.includes(tokenMark);
}

export class GrammarBuilder {
  readonly #nodes: number[] = [];
  readonly #lists: number[] = [];
  readonly #bytes: number[] = [];
  /** Rule 0 is the whole. */
  readonly #rules: Node[] = [-1];
  readonly #shared: number[] = [0];
  readonly #literals = new Map<string, Node>();

  literal(text: string): Node {
    const known = this.#literals.get(text);
    if (known !== undefined) return known;
    const node = this.#raw(encoder.encode(text));
    this.#literals.set(text, node);
    return node;
  }

  /** One special token. */
  token(id: number): Node {
    return this.#raw(tokenCode(id));
  }

  /** Any special token. */
  anyToken(): Node {
    const digits = Array.from({ length: digitBase }, (_, i) => this.#raw([firstDigit + i]));
    return this.sequence([this.#raw([tokenMark]), this.repeat(this.choice(digits), digitCount, digitCount)]);
  }

  #raw(bytes: Iterable<number>): Node {
    const first = this.#bytes.length;
    for (const byte of bytes) this.#bytes.push(byte);
    return this.#add(op.literal, first, this.#bytes.length - first);
  }

  /** One character; nothing where the ranges are empty. */
  chars(ranges: Ranges): Node {
    const characters = withoutSurrogates(ranges);
    if (characters.length === 0) return this.choice([]);
    const first = this.#lists.length;
    for (const [from, to] of characters) this.#lists.push(from, to);
    return this.#add(op.chars, first, characters.length);
  }

  sequence(children: readonly Node[]): Node {
    return children.length === 1 ? children[0] : this.#withList(op.sequence, children);
  }

  /** Without children it matches nothing. */
  choice(children: readonly Node[]): Node {
    return children.length === 1 ? children[0] : this.#withList(op.choice, children);
  }

  /** @param most undefined: no end. */
  repeat(child: Node, least: number, most?: number): Node {
    return this.#add(op.repeat, child, count(least), most === undefined ? -1 : count(most));
  }

  optional(child: Node): Node {
    return this.repeat(child, 0, 1);
  }

  /** A rule to be defined later. @param shared it is never copied into what refers to it. */
  declare(shared = false): number {
    this.#rules.push(-1);
    this.#shared.push(shared ? 1 : 0);
    return this.#rules.length - 1;
  }

  define(rule: number, node: Node): void {
    this.#rules[rule] = node;
  }

  rule(rule: number): Node {
    return this.#add(op.rule, rule);
  }

  /** All at once; each regular. */
  intersect(children: readonly Node[]): Node {
    return children.length === 1 ? children[0] : this.#withList(op.intersect, children);
  }

  /** What matches `node` and not `without`; both regular. */
  subtract(node: Node, without: Node): Node {
    return this.#add(op.subtract, node, without);
  }

  table(root: Node): GrammarTable {
    this.#rules[0] = root;
    return {
      nodes: Int32Array.from(this.#nodes),
      lists: Int32Array.from(this.#lists),
      bytes: Uint8Array.from(this.#bytes),
      rules: Int32Array.from(this.#rules),
      shared: Uint8Array.from(this.#shared),
    };
  }

  #withList(kind: number, children: readonly Node[]): Node {
    const first = this.#lists.length;
    for (const child of children) this.#lists.push(child);
    return this.#add(kind, first, children.length);
  }

  #add(kind: number, a: number, b = 0, c = 0): Node {
    if (this.#nodes.length >= 4 * mostNodes) {
      throw new KvasirError('LIMIT_EXCEEDED', `The grammar has more than ${mostNodes} parts.`);
    }
    this.#nodes.push(kind, a, b, c);
    return this.#nodes.length / 4 - 1;
  }
}

/** Counts beyond what any context holds are as good as that. */
function count(given: number): number {
  return Math.min(given, 2 ** 30);
}

/** Ascending, apart, within Unicode. */
export function normalized(ranges: Ranges): [number, number][] {
  const sorted = ranges.filter(([from, to]) => from <= to).sort((a, b) => a[0] - b[0]);
  const out: [number, number][] = [];
  for (const [from, to] of sorted) {
    const last = out[out.length - 1];
    if (last && from <= last[1] + 1) last[1] = Math.max(last[1], to);
    else out.push([from, to]);
  }
  return out;
}

/** Every character but these. */
export function complement(ranges: Ranges): [number, number][] {
  const out: [number, number][] = [];
  let next = 0;
  for (const [from, to] of normalized(ranges)) {
    if (from > next) out.push([next, from - 1]);
    next = to + 1;
  }
  if (next <= lastCodePoint) out.push([next, lastCodePoint]);
  return out;
}

/** What both have. */
export function common(a: Ranges, b: Ranges): [number, number][] {
  return complement([...complement(a), ...complement(b)]);
}

function withoutSurrogates(ranges: Ranges): [number, number][] {
  const out: [number, number][] = [];
  for (const [from, to] of normalized(ranges)) {
    if (from < 0xd800) out.push([from, Math.min(to, 0xd7ff)]);
    if (to > 0xdfff) out.push([Math.max(from, 0xe000), to]);
  }
  return out;
}

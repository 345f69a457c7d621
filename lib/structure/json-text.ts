/**
 * JSON as text: strings, numbers, any value, what stands between them. Between members and after a colon stands nothing or
 * one space; strings are written as JSON.stringify writes them, and free ones with any escape that stands for a character.
 */
import { common, complement, type GrammarBuilder, type Node, normalized, type Ranges } from './grammar.js';

const controlEscapes: Readonly<Record<number, string>> = {
  8: '\\b',
  9: '\\t',
  10: '\\n',
  12: '\\f',
  13: '\\r',
  34: '\\"',
  92: '\\\\',
};
/** What must be escaped. */
const special: Ranges = [
  [0, 0x1f],
  [0x22, 0x22],
  [0x5c, 0x5c],
];
const digit: Ranges = [[0x30, 0x39]];
const hex: Ranges = [
  [0x30, 0x39],
  [0x41, 0x46],
  [0x61, 0x66],
];
/** Digits of an integer as JSON.stringify writes it, and of a fraction. */
const mostDigits = 21;
const mostDecimals = 25;

export class JsonText {
  #string: Node | undefined;
  #value: number | undefined;
  #number: Node | undefined;
  readonly #escaped: Ranges;
  readonly #plain: Ranges;

  /** @param escaped characters of ASCII that strings have in escaped form only. */
  constructor(
    readonly builder: GrammarBuilder,
    escaped: Ranges = [],
  ) {
    this.#escaped = normalized([...special, ...escaped]);
    this.#plain = complement(this.#escaped);
  }

  /** One character of a string, in the one form of JSON.stringify. */
  chars(ranges: Ranges): Node {
    const { builder } = this;
    const all: Node[] = [];
    const unescaped = common(ranges, this.#plain);
    if (unescaped.length > 0) all.push(builder.chars(unescaped));
    for (const [first, last] of common(ranges, this.#escaped)) {
      for (let code = first; code <= last; code++) all.push(builder.literal(escaped(code)));
    }
    return builder.choice(all);
  }

  /** Any character of a string in one form. */
  anyChar(): Node {
    return this.chars([[0, 0x10ffff]]);
  }

  /** A string of these characters, its quotes included. */
  quoted(body: Node): Node {
    const quote = this.builder.literal('"');
    return this.builder.sequence([quote, body, quote]);
  }

  /** Any character, in any form. */
  freeChar(): Node {
    const { builder } = this;
    const digits = (ranges: Ranges) => builder.chars(ranges);
    const any = digits(hex);
    const d = digits([
      [0x44, 0x44],
      [0x64, 0x64],
    ]);
    const u = builder.literal('\\u');
    const notD = digits(
      common(
        hex,
        complement([
          [0x44, 0x44],
          [0x64, 0x64],
        ]),
      ),
    );
    const lowD = digits([[0x30, 0x37]]);
    const high = builder.sequence([
      u,
      d,
      digits([
        [0x38, 0x39],
        [0x41, 0x42],
        [0x61, 0x62],
      ]),
      any,
      any,
    ]);
    const low = builder.sequence([
      u,
      d,
      digits([
        [0x43, 0x46],
        [0x63, 0x66],
      ]),
      any,
      any,
    ]);
    const escapes = ['\\"', '\\\\', '\\/', '\\b', '\\f', '\\n', '\\r', '\\t'].map((text) =>
      builder.literal(text),
    );
    return builder.choice([
      builder.chars(this.#plain),
      ...escapes,
      builder.sequence([u, notD, any, any, any]),
      builder.sequence([u, d, lowD, any, any]),
      builder.sequence([high, low]),
    ]);
  }

  /** Any string. */
  string(): Node {
    if (this.#string === undefined) {
      const rule = this.builder.declare(true);
      this.#string = this.builder.rule(rule);
      this.builder.define(rule, this.quoted(this.builder.repeat(this.freeChar(), 0)));
    }
    return this.#string;
  }

  digits(least: number, most: number): Node {
    return this.builder.repeat(this.builder.chars(digit), least, most);
  }

  /** 0 or digits that begin with another one. */
  natural(): Node {
    const first = this.builder.chars([[0x31, 0x39]]);
    return this.builder.choice([
      this.builder.literal('0'),
      this.builder.sequence([first, this.digits(0, mostDigits - 1)]),
    ]);
  }

  fraction(most = mostDecimals): Node {
    return this.builder.sequence([this.builder.literal('.'), this.digits(1, most)]);
  }

  integer(): Node {
    return this.builder.sequence([this.builder.optional(this.builder.literal('-')), this.natural()]);
  }

  /** Any number that is finite as a float64. */
  number(): Node {
    if (this.#number !== undefined) return this.#number;
    const { builder } = this;
    const minus = builder.optional(builder.literal('-'));
    const fraction = builder.optional(this.fraction());
    const two = builder.chars([[0x31, 0x32]]);
    const exponent = builder.choice([
      this.digits(1, 2),
      builder.sequence([two, this.digits(2, 2)]),
      builder.sequence([builder.literal('30'), builder.chars([[0x30, 0x37]])]),
    ]);
    const scale = builder.sequence([
      builder.chars([
        [0x45, 0x45],
        [0x65, 0x65],
      ]),
      builder.optional(
        builder.chars([
          [0x2b, 0x2b],
          [0x2d, 0x2d],
        ]),
      ),
      exponent,
    ]);
    const scaled = builder.sequence([builder.chars(digit), fraction, scale]);
    const unscaled = builder.sequence([this.natural(), fraction]);
    const rule = builder.declare(true);
    builder.define(rule, builder.sequence([minus, builder.choice([unscaled, scaled])]));
    this.#number = builder.rule(rule);
    return this.#number;
  }

  /** `mark`, then nothing or a space. */
  mark(mark: ',' | ':'): Node {
    return this.builder.sequence([
      this.builder.literal(mark),
      this.builder.optional(this.builder.literal(' ')),
    ]);
  }

  /** [ and ] around items with commas between; `most` undefined: no end. */
  list(item: Node, least: number, most?: number): Node {
    const { builder } = this;
    if (most === 0) return builder.literal('[]');
    // A rule of its own: a count within a count is copied out otherwise.
    const rule = builder.declare(true);
    builder.define(rule, item);
    const one = builder.rule(rule);
    const more = builder.repeat(
      builder.sequence([this.mark(','), one]),
      Math.max(0, least - 1),
      most === undefined ? undefined : most - 1,
    );
    const items = builder.sequence([one, more]);
    return builder.sequence([
      builder.literal('['),
      least === 0 ? builder.optional(items) : items,
      builder.literal(']'),
    ]);
  }

  member(key: Node, value: Node): Node {
    return this.builder.sequence([key, this.mark(':'), value]);
  }

  /** Any value. */
  value(): Node {
    const { builder } = this;
    if (this.#value === undefined) {
      this.#value = builder.declare(true);
      const self = builder.rule(this.#value);
      const member = this.member(this.string(), self);
      const members = builder.sequence([
        member,
        builder.repeat(builder.sequence([this.mark(','), member]), 0),
      ]);
      builder.define(
        this.#value,
        builder.choice([
          builder.sequence([builder.literal('{'), builder.optional(members), builder.literal('}')]),
          this.list(self, 0),
          this.string(),
          this.number(),
          ...['true', 'false', 'null'].map((text) => builder.literal(text)),
        ]),
      );
    }
    return builder.rule(this.#value);
  }

  /** One given value; objects in their own order. */
  constant(value: unknown): Node {
    const { builder } = this;
    if (Array.isArray(value)) {
      const items = value.flatMap((item, i) =>
        i > 0 ? [this.mark(','), this.constant(item)] : [this.constant(item)],
      );
      return builder.sequence([builder.literal('['), ...items, builder.literal(']')]);
    }
    if (typeof value !== 'object' || value === null) return builder.literal(this.written(value));
    const members = Object.entries(value).flatMap(([key, item], i) => {
      const member = this.member(builder.literal(this.written(key)), this.constant(item));
      return i > 0 ? [this.mark(','), member] : [member];
    });
    return builder.sequence([builder.literal('{'), ...members, builder.literal('}')]);
  }

  /** One given string or scalar, as a literal. */
  written(value: unknown): string {
    const text = JSON.stringify(value);
    const isPlain = (code: number) => !this.#escaped.some(([from, to]) => from <= code && code <= to);
    // What JSON itself escapes is escaped already; its quotes and backslashes stay.
    return text.replace(/[ -~]/g, (one) =>
      isPlain(one.charCodeAt(0)) || one === '"' || one === '\\' ? one : escaped(one.charCodeAt(0)),
    );
  }
}

function escaped(code: number): string {
  return controlEscapes[code] ?? `\\u${code.toString(16).padStart(4, '0')}`;
}

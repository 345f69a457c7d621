/** Text that a model writes as it likes: any characters and special tokens, up to a marker or without any. */
import type { Marker } from './answer-shape.js';
import { type GrammarBuilder, lastCodePoint, type Node } from './grammar.js';

/** Spaces and line ends between parts. */
const mostSpace = 12;

export class FreeText {
  readonly builder: GrammarBuilder;
  /** [ids] special tokens that never stand in it. */
  readonly #excluded: readonly number[];
  #unit: Node | undefined;

  constructor(builder: GrammarBuilder, excluded: readonly number[]) {
    this.builder = builder;
    this.#excluded = excluded;
  }

  marker(marker: Marker): Node {
    const { builder } = this;
    return builder.sequence(
      marker.map((part) => (typeof part === 'number' ? builder.token(part) : builder.literal(part))),
    );
  }

  space(): Node {
    return this.builder.repeat(
      this.builder.chars([
        [0x0a, 0x0a],
        [0x20, 0x20],
      ]),
      0,
      mostSpace,
    );
  }

  /** One character or special token. */
  unit(): Node {
    if (this.#unit !== undefined) return this.#unit;
    const { builder } = this;
    const excluded = this.#excluded.map((id) => builder.token(id));
    const special =
      excluded.length > 0
        ? builder.subtract(builder.anyToken(), builder.choice(excluded))
        : builder.anyToken();
    this.#unit = builder.choice([builder.chars([[0, lastCodePoint]]), special]);
    return this.#unit;
  }

  any(): Node {
    return this.builder.repeat(this.unit(), 0);
  }

  /** Without any of these texts. */
  without(texts: readonly string[]): Node {
    if (texts.length === 0) return this.any();
    const { builder } = this;
    const found = builder.choice(texts.map((text) => builder.literal(text)));
    return builder.subtract(this.any(), builder.sequence([this.any(), found, this.any()]));
  }

  /** Up to a marker, that included, where neither it nor any of these texts stands before. */
  upTo(marker: Marker, texts: readonly string[]): Node {
    const { builder } = this;
    const [first, ...rest] = marker;
    if (typeof first === 'number') return builder.sequence([this.without(texts), this.marker(marker)]);
    const all = [...new Set([first, ...texts])].map((text) => builder.literal(text));
    const end = builder.sequence([this.any(), builder.literal(first)]);
    const past = builder.sequence([this.any(), builder.choice(all), builder.repeat(this.unit(), 1)]);
    return builder.sequence([builder.subtract(end, past), this.marker(rest)]);
  }
}

/** The text with which a marker is found; undefined: a special token. */
export function textOf([first]: Marker): string | undefined {
  return typeof first === 'string' ? first : undefined;
}

/** The special token with which a marker is found. */
export function tokenOf([first]: Marker): number | undefined {
  return typeof first === 'number' ? first : undefined;
}

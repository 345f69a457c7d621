/**
 * A string of the template language that knows where each of its characters came from. Characters of the template and
 * characters of the conversation stay apart through every operation, so that only what the template wrote can become a
 * control token. Positions are code points, as in Python; inside, they are UTF-16 offsets.
 */

/** A stretch of one origin. */
export interface Segment {
  text: string;
  /** It came from a message, a tool or a document. */
  content: boolean;
}

const surrogate = /[\uD800-\uDFFF]/;

export class Text {
  static readonly empty = new Text('', []);
  #points: Uint32Array | null | undefined;

  private constructor(
    readonly value: string,
    /** Offsets where the origin changes, ascending. What stands before the first is the template's. */
    readonly changes: readonly number[],
    /** Escaped for HTML: what is added to it is escaped too. */
    readonly markup = false,
  ) {}

  static of(value: string): Text {
    return value === '' ? Text.empty : new Text(value, []);
  }

  /** Text from the conversation. */
  static content(value: string): Text {
    return value === '' ? Text.empty : new Text(value, [0]);
  }

  static concat(parts: readonly Text[]): Text {
    if (parts.length === 1) return parts[0]!.plain();
    const builder = new TextBuilder();
    for (const part of parts) builder.add(part);
    return builder.finish();
  }

  /** Of a builder. */
  static built(value: string, changes: readonly number[]): Text {
    return value === '' ? Text.empty : new Text(value, changes);
  }

  /** Marked as escaped. */
  asMarkup(): Text {
    return this.markup ? this : new Text(this.value, this.changes, true);
  }

  plain(): Text {
    return this.markup ? new Text(this.value, this.changes) : this;
  }

  /** As escaped as another one. */
  like(other: Text): Text {
    return other.markup ? this.asMarkup() : this;
  }

  /** Whole characters by UTF-16 offsets. */
  cut(from: number, to = this.value.length): Text {
    if (from <= 0 && to >= this.value.length) return this;
    if (from >= to) return Text.empty;
    const changes: number[] = [];
    let before = 0;
    for (const change of this.changes) {
      if (change <= from) before++;
      else if (change < to) changes.push(change - from);
    }
    if (before % 2 === 1) changes.unshift(0);
    return new Text(this.value.slice(from, to), changes);
  }

  get segments(): Segment[] {
    const bounds = [0, ...this.changes, this.value.length];
    const segments: Segment[] = [];
    for (let i = 0; i + 1 < bounds.length; ++i) {
      const text = this.value.slice(bounds[i], bounds[i + 1]);
      if (text !== '') segments.push({ text, content: i % 2 === 1 });
    }
    return segments;
  }

  /** Each stretch rewritten, its origin kept. */
  map(rewrite: (text: string) => string): Text {
    if (this.changes.length === 0) return Text.of(rewrite(this.value));
    return Text.concat(
      this.segments.map(({ text, content }) =>
        content ? Text.content(rewrite(text)) : Text.of(rewrite(text)),
      ),
    );
  }

  /** Another spelling of the whole, of the origin of its first character. */
  spelled(value: string): Text {
    return this.changes[0] === 0 ? Text.content(value) : Text.of(value);
  }

  /** UTF-16 offsets of code points; null: each is one unit. */
  get #offsets(): Uint32Array | null {
    if (this.#points !== undefined) return this.#points;
    if (!surrogate.test(this.value)) {
      this.#points = null;
      return null;
    }
    const offsets: number[] = [];
    let at = 0;
    for (const character of this.value) {
      offsets.push(at);
      at += character.length;
    }
    offsets.push(at);
    this.#points = Uint32Array.from(offsets);
    return this.#points;
  }

  /** In code points. */
  get length(): number {
    const offsets = this.#offsets;
    return offsets === null ? this.value.length : offsets.length - 1;
  }

  /** UTF-16 offset of a code point from 0 to `length`. */
  offset(point: number): number {
    return this.#offsets?.[point] ?? point;
  }

  /** Code point at a UTF-16 offset. */
  point(offset: number): number {
    const offsets = this.#offsets;
    if (offsets === null) return offset;
    let [from, to] = [0, offsets.length - 1];
    while (from < to) {
      const middle = (from + to) >> 1;
      if (offsets[middle]! < offset) from = middle + 1;
      else to = middle;
    }
    return from;
  }

  /** By code points. */
  slice(from: number, to: number): Text {
    return this.cut(this.offset(from), this.offset(to));
  }

  characters(): Text[] {
    return Array.from({ length: this.length }, (_, i) => this.slice(i, i + 1));
  }
}

/** Puts a long text together piece by piece. */
export class TextBuilder {
  #value = '';
  readonly #changes: number[] = [];
  #isContent = false;

  add({ value, changes }: Text): void {
    if (value === '') return;
    const at = this.#value.length;
    if ((changes[0] === 0) !== this.#isContent) this.#changes.push(at);
    for (const change of changes) if (change > 0) this.#changes.push(at + change);
    this.#isContent = changes.length % 2 === 1;
    this.#value += value;
  }

  /** What the template itself writes. */
  write(text: string): void {
    if (this.#isContent && text !== '') {
      this.#changes.push(this.#value.length);
      this.#isContent = false;
    }
    this.#value += text;
  }

  finish(): Text {
    return Text.built(this.#value, this.#changes);
  }
}

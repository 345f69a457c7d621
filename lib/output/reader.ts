/**
 * Reads text that arrives in pieces. A parser is a generator over a reader: it yields where it cannot go on before it knows
 * more. What it finds does not depend on how the text is cut.
 */
import { JsonSyntax } from './json-syntax.js';
import { isTokenStart } from './special-text.js';

/** A part of a parser: what it yields is nothing but the wish for more text. */
export type Reading<T> = Generator<void, T, void>;

const space = /[ \t\r\n]/;

export class Reader {
  #text = '';
  #at = 0;
  #over = false;
  #record: string | undefined;

  feed(text: string): void {
    this.#text = this.#text.slice(this.#at) + text;
    this.#at = 0;
  }

  /** No text follows. */
  end(): void {
    this.#over = true;
  }

  /** What is taken from here on is kept too, until the next call; gives what was kept. */
  record(on: boolean): string {
    const recorded = this.#record ?? '';
    this.#record = on ? '' : undefined;
    return recorded;
  }

  /** The next character, '' at the end; it is not taken. */
  *peek(): Reading<string> {
    if (this.#at === this.#text.length) yield* this.#more();
    return this.#text[this.#at] ?? '';
  }

  *skipSpace(): Reading<void> {
    while (space.test(yield* this.peek())) this.#take(1);
  }

  /** Takes the next character. */
  *next(): Reading<string> {
    yield* this.peek();
    return this.#take(1);
  }

  /** Takes what one of these spells, the longest that fits; undefined: none of them comes next. */
  *take(markers: readonly string[]): Reading<string | undefined> {
    for (;;) {
      const rest = this.#text.slice(this.#at);
      const open = markers.some((marker) => marker.length > rest.length && marker.startsWith(rest));
      if (!open || this.#over) {
        const found = longest(markers.filter((marker) => rest.startsWith(marker)));
        if (found !== undefined) this.#take(found.length);
        return found;
      }
      yield;
    }
  }

  /**
   * Hands out text until one of the markers, which is taken; undefined: the text ended first. Of markers that begin at one
   * place the longest counts.
   */
  *upTo(markers: readonly string[], emit: (text: string) => void): Reading<string | undefined> {
    const found = yield* this.before(markers, emit);
    if (found !== undefined) this.#take(found.length);
    return found;
  }

  /** The same, the marker not taken. */
  *before(markers: readonly string[], emit: (text: string) => void): Reading<string | undefined> {
    for (;;) {
      const [found, start] = this.#first(markers);
      const hold = this.#over ? this.#text.length : this.#firstBeginning(markers);
      const isFound = found !== undefined && start < hold;
      const text = this.#take((isFound ? start : hold) - this.#at);
      if (text !== '') emit(text);
      if (isFound) return found;
      if (!(yield* this.#more()) && this.#at === this.#text.length) return undefined;
    }
  }

  /** A text of at most `most` characters up to one of the markers, which is taken. undefined: there is none. */
  *shortText(markers: readonly string[], most: number): Reading<string | undefined> {
    const text = yield* this.shortBefore(markers, most);
    if (text !== undefined) yield* this.take(markers);
    return text;
  }

  /** The same, the marker not taken. */
  *shortBefore(markers: readonly string[], most: number): Reading<string | undefined> {
    let text = '';
    for (;;) {
      if (yield* this.#isNext(markers)) return text;
      const character = yield* this.peek();
      if (character === '' || text.length >= most) return undefined;
      text += this.#take(1);
    }
  }

  /** Hands out one JSON value as it comes, space before it left out. `cut`: the text ended in it. */
  *json(emit: (text: string) => void): Reading<'whole' | 'damaged' | 'cut'> {
    yield* this.skipSpace();
    const syntax = new JsonSyntax();
    for (;;) {
      let value = '';
      let taken = 0;
      while (this.#at + taken < this.#text.length && !syntax.done) {
        const at = this.#at + taken;
        const written = isTokenStart(this.#text, at) ? undefined : syntax.push(this.#text[at]);
        if (written === undefined) {
          this.#take(taken);
          if (value !== '') emit(value);
          return syntax.end() ? 'whole' : 'damaged';
        }
        value += written;
        taken++;
      }
      this.#take(taken);
      if (value !== '') emit(value);
      if (syntax.done) return 'whole';
      if (!(yield* this.#more())) return syntax.end() ? 'whole' : 'cut';
    }
  }

  /** A JSON string. undefined: there is none, or it is damaged. */
  *jsonString(): Reading<string | undefined> {
    if ((yield* this.peek()) !== '"') return undefined;
    let text = '';
    const outcome = yield* this.json((piece) => {
      text += piece;
    });
    return outcome === 'whole' ? (JSON.parse(text) as string) : undefined;
  }

  /** One of the markers comes next. */
  *#isNext(markers: readonly string[]): Reading<boolean> {
    for (;;) {
      const rest = this.#text.slice(this.#at);
      if (markers.some((marker) => rest.startsWith(marker))) return true;
      const mayBe = markers.some((marker) => marker.length > rest.length && marker.startsWith(rest));
      if (!mayBe || this.#over) return false;
      yield;
    }
  }

  /** Waits for text; false: there is none. */
  *#more(): Reading<boolean> {
    const had = this.#text.length - this.#at;
    while (this.#text.length - this.#at === had) {
      if (this.#over) return false;
      yield;
    }
    return true;
  }

  #take(count: number): string {
    const text = this.#text.slice(this.#at, this.#at + count);
    this.#at += count;
    if (this.#record !== undefined) this.#record += text;
    return text;
  }

  /** The marker that begins first, and where. */
  #first(markers: readonly string[]): [string | undefined, number] {
    let start = Number.POSITIVE_INFINITY;
    let found: string | undefined;
    for (const marker of markers) {
      const at = this.#text.indexOf(marker, this.#at);
      if (at < 0 || at > start || (at === start && marker.length < found!.length)) continue;
      start = at;
      found = marker;
    }
    return [found, start];
  }

  /** Where what may become a marker begins; the end of the text: nowhere. */
  #firstBeginning(markers: readonly string[]): number {
    const most = Math.max(0, ...markers.map((marker) => marker.length - 1));
    const text = this.#text;
    for (let at = Math.max(this.#at, text.length - most); at < text.length; at++) {
      const rest = text.slice(at);
      if (markers.some((marker) => marker.length > rest.length && marker.startsWith(rest))) return at;
    }
    return text.length;
  }
}

function longest(found: readonly string[]): string | undefined {
  return found.reduce<string | undefined>(
    (best, one) => (best !== undefined && best.length >= one.length ? best : one),
    undefined,
  );
}

/**
 * Keeps special tokens out of what users write. A chat template is rendered with contents in which every spelling of a
 * special token is broken up by a mark that nobody can guess, so that whatever special token is whole in the rendered
 * text was written by the template. The template itself sees contents that are otherwise unchanged: it may trim them,
 * compare them, search them and split them. The worker takes the marks out again and encodes those stretches as text.
 */
import { randomBytes } from 'node:crypto';

/** Stands for a special token of one character, which no mark can break up: mark + (base + index in the list). */
const singleBase = 0xf0000;

export interface ContentMarks {
  mark: string;
  /** Special tokens of one character, in the order of their stand-ins. */
  singles: readonly string[];
}

function firstCharacter(text: string): string {
  return String.fromCodePoint(text.codePointAt(0)!);
}

/** What begins with a given text, among many. */
class Beginnings {
  readonly #sorted: readonly string[];
  readonly longest: number;

  constructor(texts: readonly string[]) {
    this.#sorted = [...texts].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
    this.longest = texts.reduce((most, { length }) => Math.max(most, length), 0);
  }

  /** Whether one of them begins with this and goes on. */
  continues(start: string): boolean {
    let [from, to] = [0, this.#sorted.length];
    while (from < to) {
      const middle = (from + to) >> 1;
      if (this.#sorted[middle]! <= start) from = middle + 1;
      else to = middle;
    }
    return this.#sorted[from]?.startsWith(start) ?? false;
  }
}

/** Special tokens of more than one character, arranged for finding them and their parts in long texts. */
class LongSpellings {
  readonly #all: ReadonlySet<string>;
  /** Each once. */
  readonly #lengths: readonly number[];
  readonly #firsts: RegExp;
  readonly #beginnings: Beginnings;
  readonly #backwards: Beginnings;

  constructor(tokens: readonly string[]) {
    this.#all = new Set(tokens);
    this.#lengths = [...new Set(tokens.map(({ length }) => length))];
    const firsts = [...new Set(tokens.map(firstCharacter))];
    const classes = firsts.map((first) => `\\u{${first.codePointAt(0)!.toString(16)}}`);
    // Without tokens: a pattern that fits nowhere.
    this.#firsts = new RegExp(classes.length > 0 ? `[${classes.join('')}]` : '(?!)', 'gu');
    this.#beginnings = new Beginnings(tokens);
    this.#backwards = new Beginnings(tokens.map(reversed));
  }

  /** Behind the first character of every whole token. */
  addWhole(text: string, points: Set<number>): void {
    for (const match of text.matchAll(this.#firsts)) {
      const at = match.index;
      const found = this.#lengths.some(
        (length) => at + length <= text.length && this.#all.has(text.slice(at, at + length)),
      );
      if (found) points.add(at + match[0].length);
    }
  }

  /** The first part of a token, at this end of the text, which what follows might complete. */
  addUnfinished(text: string, end: number, points: Set<number>): void {
    const longest = Math.min(this.#beginnings.longest - 1, end);
    for (let length = 1; length <= longest; ++length) {
      const start = text.slice(end - length, end);
      // The first half of a character alone: the text ends inside of it, and there is no place for a mark.
      if (/^[\uD800-\uDBFF]?$/.test(start)) continue;
      if (this.#beginnings.continues(start)) points.add(end - length + firstCharacter(start).length);
    }
  }

  /** The last part of a token, from here on, which what stands before might complete. */
  addUnbegun(text: string, at: number, points: Set<number>): void {
    const longest = Math.min(this.#backwards.longest - 1, text.length - at);
    for (let length = longest; length > 0; --length) {
      if (!this.#backwards.continues(reversed(text.slice(at, at + length)))) continue;
      points.add(at);
      return;
    }
  }
}

/** By code units, so that a part of the text is a part of its reverse. */
function reversed(text: string): string {
  let result = '';
  for (let i = text.length - 1; i >= 0; --i) result += text[i];
  return result;
}

/** The spellings of a model's special tokens. */
export class SpecialSpellings {
  readonly #tokens: readonly string[];
  #arranged: { singles: readonly string[]; long: LongSpellings } | undefined;

  constructor(tokens: readonly string[]) {
    this.#tokens = tokens;
  }

  /** Only chats need it, and with 100,000 tokens it takes a while. */
  get #all(): { singles: readonly string[]; long: LongSpellings } {
    this.#arranged ??= {
      singles: this.#tokens.filter((token) => firstCharacter(token) === token),
      long: new LongSpellings(this.#tokens.filter((token) => firstCharacter(token) !== token)),
    };
    return this.#arranged;
  }

  get singles(): readonly string[] {
    return this.#all.singles;
  }

  /** A new mark of private-use characters: no letter, no space, no case. */
  createMarks(): ContentMarks {
    const mark = Array.from(randomBytes(12), (byte) => String.fromCharCode(0xe000 + byte)).join('');
    return { mark, singles: this.singles };
  }

  /**
   * Places where a mark must stand so that no special token is whole, or can become whole by what stands beside:
   * ascending, each once.
   */
  breakPoints(text: string): number[] {
    const { long } = this.#all;
    const points = new Set<number>();
    long.addWhole(text, points);
    for (const at of new Set([text.length, text.trimEnd().length])) long.addUnfinished(text, at, points);
    for (const at of new Set([0, text.length - text.trimStart().length])) long.addUnbegun(text, at, points);
    return [...points].sort((a, b) => a - b);
  }
}

/** The text with its special tokens broken up. A text that spells none comes back as it is. */
export function markText(text: string, spellings: SpecialSpellings, marks: ContentMarks): string {
  let marked = '';
  let from = 0;
  for (const point of spellings.breakPoints(text)) {
    marked += text.slice(from, point) + marks.mark;
    from = point;
  }
  marked += text.slice(from);
  marks.singles.forEach((token, i) => {
    marked = marked.replaceAll(token, marks.mark + String.fromCodePoint(singleBase + i));
  });
  return marked;
}

/** Marks every string in a message or tool definition, however deep; keys stay as they are. */
export function markValue(value: unknown, spellings: SpecialSpellings, marks: ContentMarks): unknown {
  if (typeof value === 'string') return markText(value, spellings, marks);
  if (Array.isArray(value)) return value.map((item) => markValue(item, spellings, marks));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [key, markValue(item, spellings, marks)]),
  );
}

/** The text as its author wrote it. */
export function removeMarks(text: string, marks: ContentMarks): string {
  let plain = text;
  marks.singles.forEach((token, i) => {
    plain = plain.replaceAll(marks.mark + String.fromCodePoint(singleBase + i), token);
  });
  return plain.replaceAll(marks.mark, '');
}

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

/** The spellings of a model's special tokens, arranged for finding them in long texts in one pass. */
export class SpecialSpellings {
  readonly singles: readonly string[];
  readonly #long: readonly string[];
  readonly #byFirst = new Map<string, string[]>();
  readonly #firsts: RegExp;

  constructor(tokens: readonly string[]) {
    this.singles = tokens.filter((token) => firstCharacter(token) === token);
    this.#long = tokens.filter((token) => firstCharacter(token) !== token);
    for (const token of this.#long) {
      const first = firstCharacter(token);
      this.#byFirst.set(first, [...(this.#byFirst.get(first) ?? []), token]);
    }
    const classes = [...this.#byFirst.keys()].map((first) => `\\u{${first.codePointAt(0)!.toString(16)}}`);
    // Without tokens: a pattern that fits nowhere.
    this.#firsts = new RegExp(classes.length > 0 ? `[${classes.join('')}]` : '(?!)', 'gu');
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
    const points = new Set<number>();
    for (const match of text.matchAll(this.#firsts)) {
      const found = this.#byFirst.get(match[0])!.some((token) => text.startsWith(token, match.index));
      if (found) points.add(match.index + match[0].length);
    }
    const start = text.length - text.trimStart().length;
    const end = text.trimEnd().length;
    for (const token of this.#long) {
      for (const at of new Set([text.length, end])) this.#addUnfinished(text, token, at, points);
      for (const at of new Set([0, start])) {
        // The last part of a token, which what stands before might complete.
        for (let length = Math.min(token.length - 1, text.length - at); length > 0; --length) {
          if (text.startsWith(token.slice(-length), at)) points.add(at);
        }
      }
    }
    return [...points].sort((a, b) => a - b);
  }

  /** The first part of a token, at the end of the text, which what follows might complete. */
  #addUnfinished(text: string, token: string, end: number, points: Set<number>): void {
    const first = firstCharacter(token).length;
    for (let length = Math.min(token.length - 1, end); length >= first; --length) {
      if (text.startsWith(token.slice(0, length), end - length)) points.add(end - length + first);
    }
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

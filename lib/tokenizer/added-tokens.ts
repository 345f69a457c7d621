/**
 * Finds added tokens in a text: at each place the longest that fits, from left to right, as the reference does, with the white
 * space that a token takes from its neighbours.
 */
import type { AddedTokenEntry } from './definition.js';
import { pointBefore } from './patterns/word-scanner.js';
import { whiteSpaceSet, wordSet } from './unicode/classes.js';

/** text[start, end), with the token that it is, or none. Parts follow each other; with `rstrip` they may overlap. */
export interface Section {
  start: number;
  end: number;
  token?: AddedTokenEntry;
}

/** Those that begin with the same code unit. */
interface Group {
  bySpelling: Map<string, AddedTokenEntry>;
  /** Of the spellings: each once, longest first. */
  lengths: number[];
}

/** Says whether a token that was found in text[start, end) may be one there. */
export type Accepts = (token: AddedTokenEntry, start: number, end: number) => boolean;

export class AddedTokenSplitter {
  readonly #byFirstUnit = new Map<number, Group>();
  /** First units that are below U+0100, to skip text by. */
  readonly #firsts = new Uint8Array(0x10000);

  /**
   * `spelling` is what to look for in the text: the token's content, or that content normalized. The first of equal ones
   * counts. Vocabularies with 100,000 of them exist.
   */
  constructor(tokens: Iterable<[spelling: string, token: AddedTokenEntry]>) {
    for (const [spelling, token] of tokens) {
      if (spelling === '') continue;
      const first = spelling.charCodeAt(0);
      this.#firsts[first] = 1;
      let group = this.#byFirstUnit.get(first);
      if (group === undefined) {
        group = { bySpelling: new Map(), lengths: [] };
        this.#byFirstUnit.set(first, group);
      }
      if (!group.bySpelling.has(spelling)) group.bySpelling.set(spelling, token);
    }
    for (const group of this.#byFirstUnit.values()) {
      const lengths = new Set<number>();
      for (const spelling of group.bySpelling.keys()) lengths.add(spelling.length);
      group.lengths = [...lengths].sort((a, b) => b - a);
    }
  }

  /** In order; no part without a token is empty. */
  split(text: string, accepts?: Accepts): Section[] {
    if (text === '') return [];
    if (this.#byFirstUnit.size === 0) return [{ start: 0, end: text.length }];
    const sections: Section[] = [];
    const firsts = this.#firsts;
    let done = 0;
    for (let i = 0; i < text.length; ) {
      const match = firsts[text.charCodeAt(i)] === 1 ? this.#longestAt(text, i, accepts) : undefined;
      if (match === undefined) {
        ++i;
        continue;
      }
      const found = i;
      i += match.length;
      const { token } = match;
      if (token.single_word && touchesWord(text, found, i)) continue;
      const start = token.lstrip ? Math.max(spacesBefore(text, found), done) : found;
      const end = token.rstrip ? spacesAfter(text, i) : i;
      if (done < start) sections.push({ start: done, end: start });
      sections.push({ start, end, token });
      done = end;
    }
    if (done < text.length) sections.push({ start: done, end: text.length });
    return sections;
  }

  #longestAt(
    text: string,
    at: number,
    accepts: Accepts | undefined,
  ): { token: AddedTokenEntry; length: number } | undefined {
    const group = this.#byFirstUnit.get(text.charCodeAt(at));
    if (group === undefined) return undefined;
    for (const length of group.lengths) {
      if (at + length > text.length) continue;
      const token = group.bySpelling.get(text.slice(at, at + length));
      if (token !== undefined && (accepts === undefined || accepts(token, at, at + length))) {
        return { token, length };
      }
    }
    return undefined;
  }
}

function pointBeforeEnd(text: string, end: number): number {
  const unit = text.charCodeAt(end - 1);
  return unit >> 10 === 0x37 && end > 1 ? text.codePointAt(end - 2)! : unit;
}

function touchesWord(text: string, start: number, end: number): boolean {
  if (start > 0 && wordSet.has(pointBeforeEnd(text, start))) return true;
  return end < text.length && wordSet.has(pointBefore(text, end, text.length));
}

function spacesBefore(text: string, start: number): number {
  let at = start;
  while (at > 0 && whiteSpaceSet.has(text.charCodeAt(at - 1))) --at;
  return at;
}

function spacesAfter(text: string, end: number): number {
  let at = end;
  while (at < text.length && whiteSpaceSet.has(text.charCodeAt(at))) ++at;
  return at;
}

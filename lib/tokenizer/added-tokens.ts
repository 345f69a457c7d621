/** Finds added tokens in a text: at each place the longest that fits, from left to right, as the reference does. */
import type { AddedTokenEntry } from './definition.js';

export type Section = string | AddedTokenEntry;

/** Those that begin with the same code unit. */
interface Group {
  bySpelling: Map<string, AddedTokenEntry>;
  /** Of the spellings: each once, longest first. */
  lengths: number[];
}

export class AddedTokenSplitter {
  readonly #byFirstUnit = new Map<number, Group>();

  /**
   * `spelling` is what to look for in the text: the token's content, or that content normalized. The first of equal ones
   * counts. Vocabularies with 100,000 of them exist.
   */
  constructor(tokens: Iterable<[spelling: string, token: AddedTokenEntry]>) {
    for (const [spelling, token] of tokens) {
      if (spelling === '') continue;
      const first = spelling.charCodeAt(0);
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

  /** Texts and tokens in order, with the white space gone that a token takes from its neighbours. No empty text. */
  split(text: string): Section[] {
    if (this.#byFirstUnit.size === 0) return text === '' ? [] : [text];
    const sections: Section[] = [];
    let start = 0;
    for (let i = 0; i < text.length; ) {
      const match = this.#longestAt(text, i);
      if (match === undefined) {
        ++i;
        continue;
      }
      sections.push(text.slice(start, i), match.token);
      i += match.length;
      start = i;
    }
    sections.push(text.slice(start));
    trimAround(sections);
    return sections.filter((section) => section !== '');
  }

  #longestAt(text: string, at: number): { token: AddedTokenEntry; length: number } | undefined {
    const group = this.#byFirstUnit.get(text.charCodeAt(at));
    if (group === undefined) return undefined;
    for (const length of group.lengths) {
      if (at + length > text.length) continue;
      const token = group.bySpelling.get(text.slice(at, at + length));
      if (token !== undefined) return { token, length };
    }
    return undefined;
  }
}

function trimAround(sections: Section[]): void {
  sections.forEach((token, i) => {
    if (typeof token === 'string') return;
    const before = sections[i - 1];
    const after = sections[i + 1];
    if (token.lstrip && typeof before === 'string') sections[i - 1] = before.trimEnd();
    if (token.rstrip && typeof after === 'string') sections[i + 1] = after.trimStart();
  });
}

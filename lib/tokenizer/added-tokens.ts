/** Finds added tokens in a text: at each place the longest that fits, from left to right, as the reference does. */
import type { AddedTokenEntry } from './definition.js';

export type Section = string | AddedTokenEntry;

export class AddedTokenSplitter {
  /** Spelling to token, grouped by first code unit, longest first. */
  readonly #byFirstUnit = new Map<number, [spelling: string, token: AddedTokenEntry][]>();

  /** `spelling` is what to look for in the text: the token's content, or that content normalized. */
  constructor(tokens: Iterable<[spelling: string, token: AddedTokenEntry]>) {
    for (const [spelling, token] of tokens) {
      if (spelling === '') continue;
      const first = spelling.charCodeAt(0);
      const group = this.#byFirstUnit.get(first) ?? [];
      group.push([spelling, token]);
      this.#byFirstUnit.set(first, group);
    }
    for (const group of this.#byFirstUnit.values()) group.sort((a, b) => b[0].length - a[0].length);
  }

  /** Texts and tokens in order, with the white space gone that a token takes from its neighbours. No empty text. */
  split(text: string): Section[] {
    if (this.#byFirstUnit.size === 0) return text === '' ? [] : [text];
    const sections: Section[] = [];
    let start = 0;
    for (let i = 0; i < text.length; ) {
      const group = this.#byFirstUnit.get(text.charCodeAt(i));
      const match = group?.find(([spelling]) => text.startsWith(spelling, i));
      if (match === undefined) {
        ++i;
        continue;
      }
      sections.push(text.slice(start, i), match[1]);
      i += match[0].length;
      start = i;
    }
    sections.push(text.slice(start));
    trimAround(sections);
    return sections.filter((section) => section !== '');
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

/**
 * Pages of the fake native model: page tables, copy on write, and windows whose pages are given back. It throws where a
 * page is asked for that is not there.
 */
import type { KvTable } from '../../lib/native.js';

export interface FakePage {
  references: number;
}

/** What a sequence holds. */
export interface FakeHeld {
  tokens: number[];
  /** [tables] those that were given back are absent. */
  pages: (FakePage | undefined)[][];
}

export class FakePages {
  readonly tables: readonly KvTable[];
  /** [tables] */
  readonly used: number[];
  readonly #pageSize: number;

  constructor(tables: readonly KvTable[], pageSize: number) {
    this.tables = tables;
    this.used = tables.map(() => 0);
    this.#pageSize = pageSize;
  }

  /** Of the first `length` positions of another sequence. */
  fork(source: FakeHeld, length: number): FakeHeld['pages'] {
    this.#checkLength(source, length);
    return source.pages.map((held, table) =>
      held.slice(0, this.#pagesFor(length)).map((page, i) => {
        if (i < this.#firstPage(table, length)) return undefined;
        page!.references++;
        return page;
      }),
    );
  }

  truncate(sequence: FakeHeld, length: number): void {
    this.#checkLength(sequence, length);
    sequence.tokens.length = length;
    sequence.pages.forEach((held, table) => {
      for (const page of held.splice(this.#pagesFor(length))) this.#unref(page, table);
    });
  }

  shortest({ tokens, pages }: FakeHeld): number {
    if (!pages[1]) return 0;
    const has = (length: number) =>
      pages.every((held, table) =>
        held.slice(0, this.#pagesFor(length)).every((page, i) => page || i < this.#firstPage(table, length)),
      );
    let length = tokens.length;
    while (length > 0 && has(length - 1)) length--;
    return length;
  }

  /** [tables] */
  free(): number[] {
    return this.tables.map(({ pages }, table) => pages - this.used[table]);
  }

  /** [tables] pages that these hold and nobody else. */
  own(sequences: readonly FakeHeld[]): number[] {
    return this.tables.map((_, table) => {
      const held = new Map<FakePage, number>();
      for (const { pages } of sequences) {
        for (const page of pages[table]) if (page) held.set(page, (held.get(page) ?? 0) + 1);
      }
      return [...held].filter(([{ references }, times]) => references === times).length;
    });
  }

  /** Makes room for one position; a page that others hold too is copied first. */
  grow({ pages, tokens }: FakeHeld): void {
    pages.forEach((held, table) => {
      const last = held[held.length - 1];
      if (tokens.length % this.#pageSize === 0) {
        held.push(this.#take(table));
      } else if (last === undefined) {
        throw new Error('a page was given back that is written next');
      } else if (last.references > 1) {
        held[held.length - 1] = this.#take(table);
        this.#unref(last, table);
      }
    });
  }

  /** Pages that no row to come sees. */
  giveBack({ pages, tokens }: FakeHeld): void {
    pages.forEach((held, table) => {
      for (let i = 0; i < this.#firstPage(table, tokens.length); i++) {
        this.#unref(held[i], table);
        held[i] = undefined;
      }
    });
  }

  #pagesFor(positions: number): number {
    return Math.ceil(positions / this.#pageSize);
  }

  /** The first page that a row at `position` sees. */
  #firstPage(table: number, position: number): number {
    const { window } = this.tables[table];
    return window === 0 ? 0 : Math.floor(Math.max(0, position - window + 1) / this.#pageSize);
  }

  #checkLength({ tokens, pages }: FakeHeld, length: number): void {
    if (length > tokens.length) throw new Error('past the end');
    pages.forEach((held, table) => {
      for (let i = this.#firstPage(table, length); i < this.#pagesFor(length); i++) {
        if (!held[i]) throw new Error('a page that was given back');
      }
    });
  }

  #take(table: number): FakePage {
    if (this.used[table] === this.tables[table].pages) throw new Error(`table ${table} is full`);
    this.used[table]++;
    return { references: 1 };
  }

  #unref(page: FakePage | undefined, table: number): void {
    if (page && --page.references === 0) this.used[table]--;
  }
}

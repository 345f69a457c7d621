/**
 * How many pages the running requests may still take, by page table (native/model/kv_tables.h): that of the layers that
 * see all positions, and one for each sliding window, of whose pages a sequence holds its last ones alone.
 */
import type { KvTable, NativeModel } from '../native.js';
import type { Branch, Request } from './request.js';

export class PageTables {
  readonly #native: NativeModel;
  readonly #tables: readonly KvTable[];
  readonly #pageSize: number;
  readonly #stepTokens: number;
  readonly #hasWindows: boolean;

  constructor(native: NativeModel) {
    const { kvTables, kvPageSize, stepTokens } = native.info;
    this.#native = native;
    this.#tables = kvTables;
    this.#pageSize = kvPageSize;
    this.#stepTokens = stepTokens;
    this.#hasWindows = kvTables.some(({ window }) => window > 0);
  }

  /** Positions of the pages that a request may take, and of those that there are, where these are too few. */
  tooMany(request: Request): { needed: number; available: number } | undefined {
    for (const table of this.#tables) {
      const pages = this.#toCome(table, request, 0);
      if (pages > table.pages) {
        return { needed: pages * this.#pageSize, available: table.pages * this.#pageSize };
      }
    }
    return undefined;
  }

  /** Pages of each table that are missing for all requests to run to their ends; 0 or less: there are enough. */
  missing(active: readonly Request[]): number[] {
    const missing = this.#native.freePages().map((pages) => -pages);
    for (const request of active) {
      const own = this.#hasWindows ? this.ownPages(request.branches) : [];
      this.#tables.forEach((table, i) => {
        missing[i] += this.#toCome(table, request, own[i] ?? 0);
      });
    }
    return missing;
  }

  /** Whether a sequence of so many positions fits beside all requests, to be freed before their next step. */
  hasRoomFor(positions: number, active: readonly Request[]): boolean {
    const pages = this.#pagesFor(positions);
    return this.missing(active).every((missing, i) => missing + Math.min(pages, this.#tables[i]!.pages) <= 0);
  }

  /** Pages of each table that come free when all of these are freed. */
  ownPages(holders: Iterable<{ sequence: number | undefined }>): number[] {
    const sequences: number[] = [];
    for (const { sequence } of holders) if (sequence !== undefined) sequences.push(sequence);
    return this.#native.ownPages(Int32Array.from(sequences));
  }

  /**
   * Pages that a request's branches may still take. Of a window's they hold so many together at most: `own` of them
   * come free as others are taken, those that they share may stay with who shares them.
   */
  #toCome(table: KvTable, { branches, live, shared, mostDrafted }: Request, own: number): number {
    const begun = branches.some(({ sequence }) => sequence !== undefined);
    let fresh = 0;
    let most = 0;
    for (const branch of branches) {
      const { sequence, positions, length } = branch;
      // The first one begins, the others will fork from it: they share whole pages.
      const waits = sequence === undefined && (begun || branch !== live[0]);
      if (sequence === undefined && !live.includes(branch)) continue;
      fresh += waits
        ? this.#pagesFor(positions) - Math.floor(shared / this.#pageSize)
        : this.#freshPages(branch);
      most += this.#most(table, positions, length - (waits ? shared : branch.computed) + mostDrafted);
    }
    return table.window === 0 ? fresh : Math.min(fresh, Math.max(0, most - own));
  }

  #freshPages({ positions, computed, inherited }: Branch): number {
    // Its first write copies the page that it begins in.
    const copies = computed === inherited && computed % this.#pageSize !== 0 ? 1 : 0;
    return this.#pagesFor(positions) - this.#pagesFor(computed) + copies;
  }

  /** Pages that a sequence holds at a time, of which up to `known` tokens are computed in one step: PagesOfWindow. */
  #most({ window }: KvTable, positions: number, known: number): number {
    const all = this.#pagesFor(positions);
    if (window === 0) return all;
    const rows = Math.max(1, Math.min(known, this.#stepTokens));
    return Math.min(all, Math.ceil((window + rows - 2) / this.#pageSize) + 1);
  }

  #pagesFor(positions: number): number {
    return Math.ceil(positions / this.#pageSize);
  }
}

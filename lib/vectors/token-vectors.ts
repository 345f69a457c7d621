/** The token table of a loaded model as static vectors: a word is a token as the vocabulary spells it. */
import { integer, parseOptions, type Rule, signal as signalRule } from '../given.js';
import { WordTable } from './word-table.js';
import { indexWords, type WordVectors } from './word-vectors.js';

export interface TokenVectorsOptions {
  /** Threads that search. Default: one per core that the process may use. */
  threads?: number;
  /** Aborting rejects with the signal's reason. */
  signal?: AbortSignal;
}

const rules = {
  threads: integer(1, 1024),
  signal: signalRule,
} satisfies Record<keyof TokenVectorsOptions, Rule>;

/** Values that are read at a time. */
const PART = 2 ** 18;

export interface TokenRows {
  /** Tokens with a spelling: a table may have more rows. */
  size: number;
  dimensions: number;
  spelling(id: number): string;
  /** [count, dimensions] */
  read(first: number, count: number): Promise<Float32Array>;
}

/** Throws INVALID_OPTION, INSUFFICIENT_MEMORY, what `read` throws, or the signal's reason. */
export async function tokenVectorsOf(rows: TokenRows, options: unknown): Promise<WordVectors> {
  const { threads, signal } = parseOptions(rules, options, 'tokenVectors') as TokenVectorsOptions;
  return indexWords(await tableOf(rows, signal), { threads, signal });
}

/** Throws INSUFFICIENT_MEMORY, what `read` throws, or the signal's reason. */
export async function tableOf(rows: TokenRows, signal: AbortSignal | undefined): Promise<WordTable> {
  const table = new WordTable(rows.dimensions);
  const atOnce = Math.max(1, Math.floor(PART / rows.dimensions));
  for (let first = 0; first < rows.size; first += atOnce) {
    signal?.throwIfAborted();
    const count = Math.min(atOnce, rows.size - first);
    const values = await rows.read(first, count);
    for (let i = 0; i < count; i++) {
      table.next().set(values.subarray(i * rows.dimensions, (i + 1) * rows.dimensions));
      table.append(rows.spelling(first + i));
    }
  }
  return table;
}

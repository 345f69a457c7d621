/** What a model of words does, and where it puts its tokens. */
import { limitExceeded, mostTokens } from '../work.js';

/** UTF-8 of the spellings of ids from 0 on, one after the other; id i has bytes[offsets[i], offsets[i + 1]). */
export interface Spellings {
  bytes: Uint8Array;
  /** uint32 [ids + 1]. */
  offsets: Uint32Array;
}

/** Where a word may be cut. */
export interface Cuts {
  /** The first place behind `from` where text[from, to) may be cut, or `to`. */
  next(text: string, from: number, to: number): number;
}

export interface WordModel {
  /** Appends the tokens of `text[from, to)`, which is not empty. */
  encode(text: string, from: number, to: number, tokens: TokenSink): void;
  idOf(token: string): number | undefined;
  /** Different tokens. */
  readonly size: number;
  /** One more than the greatest id. */
  readonly idEnd: number;
  /** The spelling of an id. */
  tokenOf(id: number): string | undefined;
  /** Those of all ids, which may be read and no more: they may be the model's own. */
  spellings(): Spellings;
  /** For a text of so many units: where its words may be cut without a change of their tokens. Undefined: nowhere. */
  cutsFor?(units: number): Cuts | undefined;
}

/** Ids, and, when offsets are wanted, the bytes of the piece (as UTF-8) that each stands for. */
export class TokenSink {
  ids = new Int32Array(256);
  count = 0;
  /** Start and end by turns, int32 [2 * capacity]. */
  spans: Int32Array | undefined;
  /** Texts of tokens that are not spelled as their ids are: with spaces that they took, or unknown. By place. */
  readonly values = new Map<number, string>();

  constructor(readonly tracked: boolean) {
    if (tracked) this.spans = new Int32Array(512);
  }

  push(id: number, start: number, end: number): void {
    if (this.count === this.ids.length) this.#grow(this.count + 1);
    if (this.spans !== undefined) {
      this.spans[2 * this.count] = start;
      this.spans[2 * this.count + 1] = end;
    }
    this.ids[this.count++] = id;
  }

  /** Ids without spans. */
  pushAll(ids: Int32Array, from: number, to: number): void {
    if (this.count + to - from > this.ids.length) this.#grow(this.count + to - from);
    for (let i = from; i < to; ++i) this.ids[this.count++] = ids[i]!;
  }

  #grow(needed: number): void {
    if (needed > mostTokens) throw limitExceeded(`The text has more than ${mostTokens} tokens`);
    const capacity = Math.max(needed, 2 * this.ids.length);
    const ids = new Int32Array(capacity);
    ids.set(this.ids);
    this.ids = ids;
    if (this.spans === undefined) return;
    const spans = new Int32Array(2 * capacity);
    spans.set(this.spans);
    this.spans = spans;
  }
}

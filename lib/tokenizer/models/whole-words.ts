/** WordPiece, which takes the longest known beginning of a word and goes on behind it, and WordLevel, which takes all of it. */
import type { KvasirError } from '../../errors.js';
import { checkStopped } from '../work.js';
import { IndexedModel } from './indexed-model.js';
import type { TokenSink } from './model.js';
import type { TokenIndex } from './token-index.js';

abstract class WholeWordModel extends IndexedModel {
  constructor(
    index: TokenIndex,
    readonly unknown: string,
    readonly missingUnknown: () => KvasirError,
  ) {
    super(index);
  }

  protected pushUnknown(word: string, tokens: TokenSink): void {
    const id = this.index.get(this.unknown);
    if (id === undefined) throw this.missingUnknown();
    tokens.push(id, 0, Buffer.byteLength(word));
  }
}

export class WordLevelModel extends WholeWordModel {
  override encode(text: string, from: number, to: number, tokens: TokenSink): void {
    const word = text.slice(from, to);
    const id = this.index.get(word);
    if (id === undefined) this.pushUnknown(word, tokens);
    else tokens.push(id, 0, Buffer.byteLength(word));
  }
}

export class WordPieceModel extends WholeWordModel {
  constructor(
    index: TokenIndex,
    unknown: string,
    missingUnknown: () => KvasirError,
    readonly prefix: string,
    readonly longest: number,
  ) {
    super(index, unknown, missingUnknown);
  }

  override encode(text: string, from: number, to: number, tokens: TokenSink): void {
    const word = text.slice(from, to);
    // A character has two units at most.
    const pieces = word.length > 2 * this.longest ? undefined : this.#pieces(Array.from(word));
    if (pieces === undefined) {
      this.pushUnknown(word, tokens);
      return;
    }
    for (const { id, start, end } of pieces) tokens.push(id, start, end);
  }

  /** Undefined: too long, or with a part that is not known. */
  #pieces(characters: readonly string[]): { id: number; start: number; end: number }[] | undefined {
    if (characters.length > this.longest) return undefined;
    const pieces: { id: number; start: number; end: number }[] = [];
    let offset = 0;
    for (let start = 0; start < characters.length; ) {
      let end = characters.length;
      let id: number | undefined;
      let piece = '';
      for (; end > start; --end) {
        checkStopped();
        piece = characters.slice(start, end).join('');
        id = this.index.get(start > 0 ? this.prefix + piece : piece);
        if (id !== undefined) break;
      }
      if (id === undefined) return undefined;
      const length = Buffer.byteLength(piece);
      pieces.push({ id, start: offset, end: offset + length });
      offset += length;
      start = end;
    }
    return pieces;
  }
}

/** WordPiece, which takes the longest known beginning of a word and goes on behind it, and WordLevel, which takes all of it. */
import type { KvasirError } from '../../errors.js';
import type { TokenSink, WordModel } from './model.js';
import type { TokenIndex } from './token-index.js';

abstract class IndexedModel implements WordModel {
  constructor(
    readonly index: TokenIndex,
    readonly unknown: string,
    readonly missingUnknown: () => KvasirError,
  ) {}

  get size(): number {
    return this.index.count;
  }

  get idEnd(): number {
    return this.index.idEnd;
  }

  idOf(token: string): number | undefined {
    return this.index.get(token);
  }

  tokenOf(id: number): string | undefined {
    return this.index.spelling(id);
  }

  bytesOf(id: number): Uint8Array | undefined {
    return this.index.spellingBytes(id);
  }

  abstract encode(text: string, from: number, to: number, tokens: TokenSink): void;

  protected pushUnknown(word: string, tokens: TokenSink): void {
    const id = this.index.get(this.unknown);
    if (id === undefined) throw this.missingUnknown();
    tokens.push(id, 0, Buffer.byteLength(word));
  }
}

export class WordLevelModel extends IndexedModel {
  override encode(text: string, from: number, to: number, tokens: TokenSink): void {
    const word = text.slice(from, to);
    const id = this.index.get(word);
    if (id === undefined) this.pushUnknown(word, tokens);
    else tokens.push(id, 0, Buffer.byteLength(word));
  }
}

export class WordPieceModel extends IndexedModel {
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
    const pieces = this.#pieces(Array.from(word));
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

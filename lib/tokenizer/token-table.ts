/**
 * The bytes of every token, so that the thread that streams text needs no tokenizer. The worker builds it once
 * (`token-bytes.ts`) and hands it over.
 */
import { KvasirError } from '../errors.js';

/** Plain data: crosses from the worker by transfer. */
export interface TokenTableData {
  /** The bytes of all tokens, one after the other. */
  bytes: Uint8Array;
  /** [size + 1] where each token begins in `bytes`. */
  offsets: Uint32Array;
  /** Where the first token of a text reads differently (WordPiece): the same two for it. */
  first?: { bytes: Uint8Array; offsets: Uint32Array };
  /** Spaces that the decoder takes from the front of a text. */
  leadingSpaces: number;
  /** [size] 1: special, left out of texts by default. */
  special: Uint8Array;
}

export const space = 0x20;

export class TokenTable {
  constructor(readonly data: TokenTableData) {}

  /** Number of ids, holes included. */
  get size(): number {
    return this.data.special.length;
  }

  isSpecial(id: number): boolean {
    return this.data.special[id] === 1;
  }

  /** `atStart`: as the first token of a text; the decoder's leading spaces are still there. Throws INVALID_OPTION. */
  bytesOf(id: number, atStart = false): Uint8Array {
    if (!Number.isInteger(id) || id < 0 || id >= this.size) {
      throw new KvasirError(
        'INVALID_OPTION',
        `${id} is no token id; this model has ids from 0 to ${this.size - 1}.`,
      );
    }
    const { bytes, offsets } = (atStart && this.data.first) || this.data;
    return bytes.subarray(offsets[id], offsets[id + 1]);
  }

  /**
   * The text of a sequence. Bytes that are no UTF-8 become U+FFFD by the rule of the web, also where byte tokens fall
   * back: the reference gives up a whole run of those for one bad byte, which a stream could not do any more.
   */
  decode(ids: ArrayLike<number>, skipSpecialTokens: boolean): string {
    const parts: Uint8Array[] = [];
    for (let i = 0; i < ids.length; ++i) {
      const id = ids[i]!;
      const part = this.bytesOf(id, parts.length === 0);
      if (!(skipSpecialTokens && this.isSpecial(id))) parts.push(part);
    }
    const text = Buffer.concat(parts);
    return new TextDecoder('utf-8', { ignoreBOM: true }).decode(text.subarray(this.#leading(text)));
  }

  #leading(text: Uint8Array): number {
    let count = 0;
    while (count < this.data.leadingSpaces && text[count] === space) ++count;
    return count;
  }
}

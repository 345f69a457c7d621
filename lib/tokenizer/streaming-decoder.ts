/** Tokens to text one at a time; what has been handed out never changes afterwards and never ends in half a character. */
import { space, type TokenTable } from './token-table.js';

export interface StreamingDecoderOptions {
  /** Leave special tokens out of the text. Default true. */
  skipSpecialTokens?: boolean;
  /** The last token before the stream. Without it, or when it is special, a text begins here. */
  after?: number;
}

export class StreamingDecoder {
  readonly #table: TokenTable;
  readonly #skipSpecial: boolean;
  readonly #decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  /** The decoder may hold a part of a character. */
  #isPartial = false;
  #atStart: boolean;
  /** Leading spaces that may still be dropped. */
  #leading: number;
  /** Where tokens depend on their neighbours: all so far, and how many characters of their text are handed out. */
  readonly #ids: number[] = [];
  #handedOut = 0;
  /** Of so many tokens the text is looked at again. */
  #next = 1;

  constructor(table: TokenTable, { skipSpecialTokens = true, after }: StreamingDecoderOptions = {}) {
    this.#table = table;
    this.#skipSpecial = skipSpecialTokens;
    this.#atStart = after === undefined || table.isSpecial(after);
    this.#leading = this.#atStart ? table.leadingSpaces : 0;
  }

  /** Text that is complete after this token; may be ''. Throws INVALID_OPTION for an id that is none. */
  push(tokenId: number): string {
    if (this.#table.looksAround) return this.#pushWhole(tokenId);
    let bytes = this.#table.bytesOf(tokenId, this.#atStart);
    if (this.#skipSpecial && this.#table.isSpecial(tokenId)) return '';
    this.#atStart = false;
    while (this.#leading > 0 && bytes.length > 0) {
      const drops = bytes[0] === space;
      if (drops) bytes = bytes.subarray(1);
      this.#leading = drops ? this.#leading - 1 : 0;
    }
    return this.#textOf(bytes);
  }

  #textOf(bytes: Uint8Array): string {
    const ascii = this.#isPartial && bytes.length > 0 ? undefined : asciiText(bytes);
    if (ascii !== undefined) return ascii;
    // After a byte of ASCII it holds nothing.
    this.#isPartial = bytes[bytes.length - 1] >= 0x80;
    return this.#decoder.decode(bytes, { stream: true });
  }

  /** The rest: U+FFFD for a character that was never finished. */
  flush(): string {
    return this.#table.looksAround
      ? this.#handOut(this.#table.decode(this.#ids, this.#skipSpecial))
      : this.#decoder.decode();
  }

  /**
   * The whole text again, and of it what is new. A last character that may still change waits; beyond 32 tokens so does a
   * 32nd of them, so that the time for a text grows with its length and not with its square.
   */
  #pushWhole(tokenId: number): string {
    this.#table.checkId(tokenId);
    this.#ids.push(tokenId);
    if (this.#ids.length < this.#next) return '';
    this.#next = this.#ids.length + 1 + (this.#ids.length >> 5);
    const text = this.#table.decode(this.#ids, this.#skipSpecial);
    return text.endsWith('\uFFFD') ? '' : this.#handOut(text);
  }

  /** Where a decoder writes anew what was handed out, that stays, and the text goes on behind as much. */
  #handOut(text: string): string {
    if (text.length <= this.#handedOut) return '';
    const more = text.slice(this.#handedOut);
    this.#handedOut = text.length;
    return more;
  }
}

/** Most tokens are ASCII: a decoder takes longer to call than they are to read. Undefined: not all of them are. */
function asciiText(bytes: Uint8Array): string | undefined {
  let text = '';
  for (let i = 0; i < bytes.length; i++) {
    if (bytes[i] >= 0x80) return undefined;
    text += String.fromCharCode(bytes[i]);
  }
  return text;
}

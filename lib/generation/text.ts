/** Generated tokens to text that may go out: whole characters only, and nothing of a stop string. */
import { StopMatcher } from './stop.js';

/** What this needs of a tokenizer's streaming decoder. */
export interface TokenDecoder {
  /** Text that is complete after this token. */
  push(tokenId: number): string;
  /** What a special token spells, which is no part of the text; '' for all others. */
  unseen(tokenId: number): string;
  /** The rest, with U+FFFD for an unfinished character. */
  flush(): string;
}

export class TextOutput {
  readonly #decoder: TokenDecoder;
  readonly #stop: StopMatcher;

  constructor(decoder: TokenDecoder, stops: readonly string[]) {
    this.#decoder = decoder;
    this.#stop = new StopMatcher(stops);
  }

  get stopped(): boolean {
    return this.#stop.stopped;
  }

  /** @param waits stop strings that end with this token end nothing. */
  push(token: number, waits = false): string {
    return this.#stop.push(this.#decoder.push(token), this.#decoder.unseen(token), waits);
  }

  /** What was held back, once no token follows. */
  flush(waits = false): string {
    const text = this.#stop.push(this.#decoder.flush(), '', waits);
    return text + this.#stop.flush();
  }
}

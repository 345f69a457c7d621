/**
 * DRY ("don't repeat yourself"): a token that would go on with a repetition loses `multiplier * base ^ (n - allowed)`,
 * where n is how many tokens before it repeat what stands at the end. A repetition does not reach back over a sequence
 * breaker. The definition is that of llama.cpp, but that breakers are looked for in the text of the tokens, however they
 * are cut.
 */
import type { TokenRule } from './token-rules.js';

export interface DryOptions {
  /** Above 0. */
  multiplier: number;
  /** At least 1. */
  base: number;
  /** Repetitions of fewer tokens cost nothing. */
  allowedLength: number;
  /** Tokens at the end that are looked at; -1: all. */
  lastN: number;
  breakers: readonly string[];
}

/** A float32 holds e to this power at most. */
const MOST_LOG = 88.7228391;

export class Dry implements TokenRule {
  readonly most = Number.POSITIVE_INFINITY;
  readonly #options: DryOptions;
  readonly #mostExponent: number;
  readonly #breakers: Breakers;
  /** [window] Matches of the last step; see `matchLengths`. */
  #lengths = new Int32Array(0);

  /** @param bytesOf what one token adds to a text. */
  constructor(options: DryOptions, bytesOf: (id: number) => Uint8Array) {
    this.#options = options;
    const log = Math.log(options.base);
    this.#mostExponent = log > 1e-6 ? MOST_LOG / log : Number.POSITIVE_INFINITY;
    this.#breakers = new Breakers(options.breakers, bytesOf);
  }

  apply(history: Int32Array, _generated: number, take: (id: number, amount: number) => void): void {
    const { allowedLength, lastN, multiplier, base } = this.#options;
    const window = lastN < 0 ? history : history.subarray(Math.max(0, history.length - lastN));
    const limit = Math.min(this.#breakers.tokensAfter(history), window.length);
    if (limit < allowedLength || window.length <= allowedLength) return;
    const longest = new Map<number, number>();
    const lengths = this.#matchLengths(window);
    for (let k = 1; k < window.length; k++) {
      const length = Math.min(lengths[k], limit);
      if (length < allowedLength) continue;
      const next = window[window.length - k];
      if (length > (longest.get(next) ?? -1)) longest.set(next, length);
    }
    for (const [id, length] of longest) {
      take(id, multiplier * base ** Math.min(length - allowedLength, this.#mostExponent));
    }
  }

  /** [k]: how many tokens before the last k equal those at the end (the Z function of the window read backwards). */
  #matchLengths(window: Int32Array): Int32Array {
    const n = window.length;
    if (this.#lengths.length < n) this.#lengths = new Int32Array(2 * n);
    const lengths = this.#lengths;
    const last = n - 1;
    let left = 0;
    let right = 0;
    for (let k = 1; k < n; k++) {
      let length = k < right ? Math.min(right - k, lengths[k - left]) : 0;
      while (k + length < n && window[last - length] === window[last - k - length]) length++;
      lengths[k] = length;
      if (k + length > right) {
        left = k;
        right = k + length;
      }
    }
    return lengths;
  }
}

interface Piece {
  /** Text of the token, a character a byte. */
  text: string;
  /** A breaker lies in it as a whole. */
  breaks: boolean;
}

/** Remembers where the last breaker of a growing text ends. */
class Breakers {
  readonly #breakers: readonly string[];
  /** Those that may begin in one token and end in a later one. */
  readonly #long: readonly string[];
  readonly #bytesOf: (id: number) => Uint8Array;
  readonly #pieces = new Map<number, Piece>();
  /** Tokens that were looked at, and the place of the last one in which a breaker ends. */
  #seen = 0;
  #last = -1;

  constructor(breakers: readonly string[], bytesOf: (id: number) => Uint8Array) {
    this.#breakers = breakers.map((breaker) => Buffer.from(breaker).toString('latin1'));
    this.#long = this.#breakers.filter(({ length }) => length > 1);
    this.#bytesOf = bytesOf;
  }

  /** How many tokens follow the one in which the last breaker ends; all, where there is none. */
  tokensAfter(tokens: Int32Array): number {
    for (let i = tokens.length - 1; i >= this.#seen; i--) {
      if (!this.#endsAt(tokens, i)) continue;
      this.#last = i;
      break;
    }
    this.#seen = tokens.length;
    return tokens.length - 1 - this.#last;
  }

  #endsAt(tokens: Int32Array, at: number): boolean {
    const { text, breaks } = this.#pieceOf(tokens[at]);
    if (breaks || text === '') return breaks;
    return this.#long.some((breaker) => {
      const reach = breaker.length - 1;
      let before = '';
      for (let i = at - 1; i >= 0 && before.length < reach; i--)
        before = this.#pieceOf(tokens[i]).text + before;
      return (before.slice(-reach) + text).includes(breaker);
    });
  }

  #pieceOf(id: number): Piece {
    let piece = this.#pieces.get(id);
    if (piece === undefined) {
      const text = Buffer.from(this.#bytesOf(id)).toString('latin1');
      piece = { text, breaks: this.#breakers.some((breaker) => text.includes(breaker)) };
      this.#pieces.set(id, piece);
    }
    return piece;
  }
}

/**
 * Prompt lookup: the tokens that followed the last time that a text ended as it does now. Every place in the text is found by
 * the two tokens before it, as LZ77 finds matches: a table of the latest place for each hash, and a chain to earlier ones.
 */
import { classOf } from './acceptance.js';
import type { Proposal } from './proposal.js';

/** Places that are looked at, the latest first; among them the one with the longest match counts. */
const MOST_PLACES = 32;
/** A longer match says no more. */
const LONGEST_MATCH = 32;
const SHORTEST_MATCH = 2;
/** Tokens that one call enters at most: a long prompt holds nobody up. */
const ENTERED_AT_ONCE = 4096;

/** Upper ends of the lengths of a match that count as equally good; beyond is a class of its own. */
const CLASS_ENDS: readonly number[] = [2, 3, 4, 6, 10, 16];
/** How often such proposals are right before any has been seen, by class. */
export const LOOKUP_CHANCES: readonly number[] = [0.2, 0.3, 0.45, 0.6, 0.75, 0.85, 0.9];

export class PromptLookup {
  readonly #mask: number;
  /** [2^n] the latest place whose two tokens before it have the hash; 0: none. */
  readonly #latest: Int32Array;
  /** [positions] the place before with the same hash; 0: none. */
  readonly #earlier: Int32Array;
  /** Places below it are entered; the first is that behind two tokens. */
  #entered = SHORTEST_MATCH;

  /** @param positions most tokens that the text will have. */
  constructor(positions: number) {
    const size = 2 ** Math.ceil(Math.log2(Math.max(16, positions)));
    this.#mask = size - 1;
    this.#latest = new Int32Array(size);
    this.#earlier = new Int32Array(positions + 1);
  }

  /**
   * At most `most` tokens to follow tokens[0, length). Tokens that were given before are the same in every call.
   * @param tokens [at least length]
   */
  propose(tokens: Int32Array, length: number, most: number): Proposal {
    this.#enter(tokens, length);
    const none: Proposal = { tokens: [], classes: [] };
    if (length < SHORTEST_MATCH || most <= 0) return none;
    let place = 0;
    let longest = SHORTEST_MATCH - 1;
    let candidate = this.#latest[this.#hash(tokens, length)];
    for (let looked = 0; candidate > 0 && looked < MOST_PLACES; looked++) {
      const matched = matchedBefore(tokens, candidate, length);
      if (matched > longest) {
        longest = matched;
        place = candidate;
      }
      if (longest === LONGEST_MATCH) break;
      candidate = this.#earlier[candidate];
    }
    if (place === 0) return none;
    const proposed: number[] = [];
    // Beyond the end of the text the proposal repeats itself, as the text does then.
    for (let i = 0; i < most; i++) {
      proposed.push(place + i < length ? tokens[place + i] : proposed[place + i - length]);
    }
    return { tokens: proposed, classes: proposed.map((_, i) => classOf(longest + i, CLASS_ENDS)) };
  }

  #enter(tokens: Int32Array, length: number): void {
    // A place needs a token that follows.
    const end = Math.min(length, this.#entered + ENTERED_AT_ONCE);
    for (; this.#entered < end; this.#entered++) {
      const hash = this.#hash(tokens, this.#entered);
      this.#earlier[this.#entered] = this.#latest[hash];
      this.#latest[hash] = this.#entered;
    }
  }

  /** Of the two tokens before a place. */
  #hash(tokens: Int32Array, place: number): number {
    const mixed = Math.imul(tokens[place - 2], 0x9e3779b1) ^ Math.imul(tokens[place - 1], 0x85ebca6b);
    return (mixed ^ (mixed >>> 15)) & this.#mask;
  }
}

/** How many tokens before two places are the same. */
function matchedBefore(tokens: Int32Array, earlier: number, later: number): number {
  const most = Math.min(earlier, LONGEST_MATCH);
  let matched = 0;
  while (matched < most && tokens[earlier - 1 - matched] === tokens[later - 1 - matched]) matched++;
  return matched;
}

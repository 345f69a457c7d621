/**
 * Which drafted tokens a grammar allows. It follows the text with a matcher of its own: taking tokens back would make the
 * other one forget the way on which it closes a text, and so could change the text.
 */
import type { NativeMatcher } from '../native.js';
import type { CompiledStructure } from './structure.js';

/** Bytes of forced text that are looked at: about what a step may check. */
const MOST_FORCED = 80;

export class DraftedStructure {
  /** Absent once it could not follow: then anything may be drafted. */
  #matcher: NativeMatcher | undefined;

  constructor({ grammar }: CompiledStructure) {
    this.#matcher = grammar.createMatcher();
  }

  /** The fewest tokens of the text that must follow, whatever is chosen; it may be spelled otherwise. */
  forced(): number[] {
    let tokens: number[] = [];
    this.#use((matcher) => {
      tokens = Array.from(matcher.forced(MOST_FORCED));
      return true;
    });
    return tokens;
  }

  /** How many of these tokens may follow behind each other. */
  fitting(tokens: readonly number[]): number {
    let fitting = 0;
    this.#use((matcher) => {
      while (fitting < tokens.length && matcher.accept(tokens[fitting])) fitting++;
      matcher.rollback(fitting);
      return true;
    });
    return this.#matcher ? fitting : tokens.length;
  }

  /** The text goes on with it. */
  accept(token: number): void {
    this.#use((matcher) => matcher.accept(token));
  }

  /** @param use false: the matcher does not follow any more. */
  #use(use: (matcher: NativeMatcher) => boolean): void {
    try {
      if (this.#matcher && use(this.#matcher)) return;
    } catch {
      // The grammar is in too many states at once: where the answer needs it, that is told.
    }
    this.#matcher = undefined;
  }
}

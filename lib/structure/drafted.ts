/**
 * Which drafted tokens a grammar allows. It follows the text with a matcher of its own: taking tokens back would make the
 * other one forget the way on which it closes a text, and so could change the text.
 */
import type { NativeMatcher } from '../native.js';
import type { CompiledStructure } from './structure.js';

export class DraftedStructure {
  /** Absent once it could not follow: then anything may be drafted. */
  #matcher: NativeMatcher | undefined;

  constructor({ grammar }: CompiledStructure) {
    this.#matcher = grammar.createMatcher();
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

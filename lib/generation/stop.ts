/**
 * Ends a text at the first stop string, and holds back what may be the beginning of one. The outcome does not depend
 * on how the text is cut into pieces: the stop string that is complete first wins, the longest of those that end at
 * the same place.
 */
export class StopMatcher {
  readonly #stops: readonly string[];
  readonly #longest: number;
  #held = '';
  #stopped = false;

  /** @param stops none of them empty. */
  constructor(stops: readonly string[]) {
    this.#stops = stops;
    this.#longest = Math.max(0, ...stops.map((stop) => stop.length));
  }

  /** A stop string has appeared; nothing more will be released. */
  get stopped(): boolean {
    return this.#stopped;
  }

  /** Takes the next piece of text and returns what is certain to stand before any stop string. */
  push(text: string): string {
    if (this.#stopped) return '';
    const pending = this.#held + text;
    const start = this.#firstMatch(pending);
    if (start >= 0) {
      this.#stopped = true;
      this.#held = '';
      return pending.slice(0, start);
    }
    const keep = this.#beginningAtEnd(pending);
    this.#held = pending.slice(pending.length - keep);
    return pending.slice(0, pending.length - keep);
  }

  /** The text is over: what was held back was no stop string. */
  flush(): string {
    const rest = this.#held;
    this.#held = '';
    return rest;
  }

  /** Where the stop string begins that ends first, or -1. */
  #firstMatch(text: string): number {
    let firstStart = -1;
    let firstEnd = Number.POSITIVE_INFINITY;
    for (const stop of this.#stops) {
      const start = text.indexOf(stop);
      if (start < 0) continue;
      const end = start + stop.length;
      if (end < firstEnd || (end === firstEnd && start < firstStart)) {
        firstStart = start;
        firstEnd = end;
      }
    }
    return firstStart;
  }

  /** Length of the longest end of `text` with which a stop string begins. */
  #beginningAtEnd(text: string): number {
    for (let length = Math.min(this.#longest - 1, text.length); length > 0; length--) {
      const end = text.slice(text.length - length);
      if (this.#stops.some((stop) => stop.length > length && stop.startsWith(end))) return length;
    }
    return 0;
  }
}

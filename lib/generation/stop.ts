/**
 * Ends a text at the first stop string, and holds back what may be the beginning of one. The outcome does not depend
 * on how the text is cut into pieces: the stop string that is complete first wins, the longest of those that end at
 * the same place. What special tokens spell is matched too, though it is no part of the text.
 */
export class StopMatcher {
  readonly #stops: readonly string[];
  readonly #longest: number;
  #held = '';
  /** What of `#held` special tokens spell: [begin, end) one after the other. */
  #unseen: [begin: number, end: number][] = [];
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

  /**
   * Takes the next piece of text and returns what is certain to stand before any stop string.
   * @param unseen what a special token behind this piece spells.
   * @param waits a stop string that ends within this piece ends nothing.
   */
  push(text: string, unseen = '', waits = false): string {
    if (this.#stopped) return '';
    const before = this.#held.length;
    const pending = this.#held + text + unseen;
    if (unseen !== '') this.#unseen.push([pending.length - unseen.length, pending.length]);
    const start = waits ? -1 : this.#firstMatch(pending, before);
    this.#stopped = start >= 0;
    const cut = this.#stopped ? start : pending.length - this.#beginningAtEnd(pending);
    const released = this.#seen(pending, cut);
    this.#held = this.#stopped ? '' : pending.slice(cut);
    this.#unseen = this.#unseen
      .filter(([, end]) => end > cut)
      .map(([begin, end]) => [Math.max(0, begin - cut), end - cut]);
    return released;
  }

  /** The text is over: what was held back was no stop string. */
  flush(): string {
    const rest = this.#seen(this.#held, this.#held.length);
    this.#held = '';
    this.#unseen = [];
    return rest;
  }

  /** text[0, end) without what is unseen. */
  #seen(text: string, end: number): string {
    let seen = '';
    let at = 0;
    for (const [begin, after] of this.#unseen) {
      seen += text.slice(at, Math.min(begin, end));
      at = Math.min(after, end);
    }
    return seen + text.slice(at, end);
  }

  /** Where the stop string begins that ends first after `from`, or -1. */
  #firstMatch(text: string, from: number): number {
    let firstStart = -1;
    let firstEnd = Number.POSITIVE_INFINITY;
    for (const stop of this.#stops) {
      const start = text.indexOf(stop, Math.max(0, from - stop.length + 1));
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

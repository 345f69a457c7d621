// A seeded generator of random choices: the same seed, the same run. Node built-ins only.

export class Random {
  #state;

  /** @param {number} seed any integer */
  constructor(seed) {
    this.#state = seed >>> 0;
    for (let i = 0; i < 8; ++i) this.next();
  }

  /** In [0, 1). (mulberry32) */
  next() {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  /** From 0 to `end` - 1. */
  below(end) {
    return Math.floor(this.next() * end);
  }

  /** From `low` to `high`. */
  between(low, high) {
    return low + this.below(high - low + 1);
  }

  chance(probability) {
    return this.next() < probability;
  }

  pick(list) {
    return list[this.below(list.length)];
  }

  /** Up to `most` of what `make` gives. */
  several(most, make) {
    return Array.from({ length: this.below(most + 1) }, make);
  }
}

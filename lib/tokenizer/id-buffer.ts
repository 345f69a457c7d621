/** A growing list of token ids in one typed array: no boxed numbers, nothing to copy but the growth. */
export class IdBuffer {
  #ids = new Int32Array(256);
  #length = 0;

  push(ids: ArrayLike<number>): void {
    const needed = this.#length + ids.length;
    if (needed > this.#ids.length) {
      const larger = new Int32Array(Math.max(needed, 2 * this.#ids.length));
      larger.set(this.#ids.subarray(0, this.#length));
      this.#ids = larger;
    }
    this.#ids.set(ids, this.#length);
    this.#length = needed;
  }

  /** The ids, in a buffer of their own size that can be transferred. */
  take(): Int32Array {
    return this.#ids.slice(0, this.#length);
  }
}

/** The parts of a text that a pattern matches and those between, in order: three numbers each in one typed array. */
import { checkStopped } from '../work.js';

/** A power of two. */
const partsBetweenChecks = 4096;

export class Matches {
  /** start, end, whether it matched; int32 [3 * capacity]. */
  #data = new Int32Array(96);
  count = 0;
  hasMatch = false;

  clear(): void {
    this.count = 0;
    this.hasMatch = false;
  }

  push(start: number, end: number, matched: boolean): void {
    const at = 3 * this.count++;
    if (this.count % partsBetweenChecks === 0) checkStopped();
    if (at === this.#data.length) {
      const larger = new Int32Array(2 * at);
      larger.set(this.#data);
      this.#data = larger;
    }
    this.#data[at] = start;
    this.#data[at + 1] = end;
    this.#data[at + 2] = matched ? 1 : 0;
    if (matched) this.hasMatch = true;
  }

  start(i: number): number {
    return this.#data[3 * i]!;
  }

  end(i: number): number {
    return this.#data[3 * i + 1]!;
  }

  matched(i: number): boolean {
    return this.#data[3 * i + 2] === 1;
  }

  /** Moves the bounds of the last entry. */
  extend(end: number): void {
    this.#data[3 * this.count - 2] = end;
  }
}

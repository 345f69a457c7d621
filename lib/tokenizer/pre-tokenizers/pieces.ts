/** A text and the pieces of it that pre-tokenizers have made so far, in order. What lies between pieces is gone. */
import type { AlignedText } from '../aligned-text.js';
import { checkStopped } from '../work.js';

/** A power of two. */
const piecesBetweenChecks = 4096;

/** Starts and ends by turns in one typed array. No piece is empty. */
export class Bounds {
  #data = new Int32Array(64);
  count = 0;

  static whole(length: number): Bounds {
    const bounds = new Bounds();
    bounds.push(0, length);
    return bounds;
  }

  push(start: number, end: number): void {
    if (start === end) return;
    const at = 2 * this.count++;
    if (this.count % piecesBetweenChecks === 0) checkStopped();
    if (at === this.#data.length) {
      const larger = new Int32Array(2 * at);
      larger.set(this.#data);
      this.#data = larger;
    }
    this.#data[at] = start;
    this.#data[at + 1] = end;
  }

  start(i: number): number {
    return this.#data[2 * i]!;
  }

  end(i: number): number {
    return this.#data[2 * i + 1]!;
  }
}

export interface Pieces {
  source: AlignedText;
  bounds: Bounds;
}

export type PreTokenizer = (pieces: Pieces) => Pieces;

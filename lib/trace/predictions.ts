/** What a row of logits says. */
import { LargestFinder } from '../generation/largest.js';

export interface Candidate {
  id: number;
  text: string;
  logit: number;
  /** Of the softmax over the whole vocabulary at temperature 1. */
  probability: number;
}

export interface RowFacts {
  /** ln(sum(exp(logit))). */
  logSumExp: number;
  /** -sum(p ln p), in nats. */
  entropy: number;
  /** The largest logits, equal ones by the lower id. */
  top: Candidate[];
}

/** Reads rows [vocabSize] of one model, in float64. */
export class RowReader {
  readonly #finder: LargestFinder;
  readonly #ids: Int32Array;

  constructor(
    vocabSize: number,
    readonly textOf: (id: number) => string,
  ) {
    this.#finder = new LargestFinder(vocabSize);
    this.#ids = new Int32Array(vocabSize);
  }

  /** The id of the largest logit. */
  best(logits: Float32Array): number {
    this.#finder.find(logits, logits.length, 1, this.#ids);
    return this.#ids[0]!;
  }

  read(logits: Float32Array, count: number): RowFacts {
    const found = this.#finder.find(logits, logits.length, Math.max(1, count), this.#ids);
    const max = logits[this.#ids[0]!]!;
    let [sum, weighted] = [0, 0];
    // By index: twice as fast as by iterator, and there are many.
    for (let i = 0; i < logits.length; i++) {
      const below = logits[i]! - max;
      const weight = Math.exp(below);
      if (weight === 0) continue;
      sum += weight;
      weighted += weight * below;
    }
    const logSumExp = max + Math.log(sum);
    const top = Array.from(this.#ids.subarray(0, Math.min(count, found)), (id) => {
      const logit = logits[id]!;
      return { id, text: this.textOf(id), logit, probability: Math.exp(logit - logSumExp) };
    });
    return { logSumExp, entropy: Math.log(sum) - weighted / sum, top };
  }
}

/**
 * Rules that look at the tokens so far and take from the logits of a few tokens before each choice: forbidden words,
 * forbidden repetitions, a least length. What is forbidden loses an infinite amount.
 */

export interface TokenRule {
  /** Most tokens that one step may forbid; Infinity: no bound is known. */
  readonly most: number;
  /**
   * Names the tokens of the next step and what their logits lose.
   * @param history [length] ids of the prompt and the output.
   * @param generated how many of them are output.
   */
  apply(history: Int32Array, generated: number, take: (id: number, amount: number) => void): void;
}

/** End tokens wait until the output has `least` tokens. */
export class LeastTokens implements TokenRule {
  readonly most: number;

  constructor(
    readonly least: number,
    readonly endTokens: ReadonlySet<number>,
  ) {
    this.most = endTokens.size;
  }

  apply(_history: Int32Array, generated: number, take: (id: number, amount: number) => void): void {
    if (generated >= this.least) return;
    for (const id of this.endTokens) take(id, Number.POSITIVE_INFINITY);
  }
}

/** Sequences of ids that never become whole; their beginning may stand in the prompt. */
export class ForbiddenSequences implements TokenRule {
  readonly most: number;

  /** @param sequences at least one id each. */
  constructor(readonly sequences: readonly Int32Array[]) {
    this.most = sequences.length;
  }

  apply(history: Int32Array, _generated: number, take: (id: number, amount: number) => void): void {
    for (const sequence of this.sequences) {
      const before = sequence.length - 1;
      if (before <= history.length && endsWith(history, sequence, before)) {
        take(sequence[before], Number.POSITIVE_INFINITY);
      }
    }
  }
}

/** No sequence of `size` tokens comes a second time; those of the prompt count. */
export class NoRepeatedNgrams implements TokenRule {
  readonly most = Number.POSITIVE_INFINITY;

  /** @param size at least 1. */
  constructor(readonly size: number) {}

  apply(history: Int32Array, _generated: number, take: (id: number, amount: number) => void): void {
    const before = this.size - 1;
    const start = history.length - before;
    for (let end = before; end < history.length; end++) {
      let same = 0;
      while (same < before && history[end - 1 - same] === history[start + before - 1 - same]) same++;
      if (same === before) take(history[end], Number.POSITIVE_INFINITY);
    }
  }
}

/** Whether the last `count` of `history` are the first `count` of `sequence`. */
function endsWith(history: Int32Array, sequence: Int32Array, count: number): boolean {
  const start = history.length - count;
  for (let i = 0; i < count; i++) if (history[start + i] !== sequence[i]) return false;
  return true;
}

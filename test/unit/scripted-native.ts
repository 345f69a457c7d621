/** A fake native model that writes what a test tells it, whatever the prompt is. */
import type { StepBatch, StepResult } from '../../lib/native.js';
import { FakeNative, type FakeOptions } from './engine-fake.js';
import { withoutSkipping } from './token-by-token.js';

export class ScriptedNative extends FakeNative {
  /** One list of ids for each answer, in order; behind its end comes `end`. */
  readonly scripts: number[][] = [];
  #at = 0;

  constructor(
    readonly end: number,
    options: FakeOptions = {},
  ) {
    super(options);
    // Each row is the next token of the answer: none may be left out.
    withoutSkipping();
  }

  /** The next answer: steps are counted anew. */
  next(script: readonly number[]): void {
    this.scripts.push([...script]);
  }

  /** Forgets what was to be written. */
  reset(): void {
    this.scripts.length = 0;
    this.#at = 0;
  }

  override async step(batch: StepBatch): Promise<StepResult> {
    const result = await super.step(batch);
    if (result.cancelled) return result;
    batch.rows.forEach((_, row) => {
      const script = this.scripts[0] ?? [];
      const wanted = script[this.#at++] ?? this.end;
      if (this.#at > script.length) {
        this.scripts.shift();
        this.#at = 0;
      }
      const first = row * result.candidates;
      result.candidateIds[first] = wanted;
      result.candidateLogits[first] = 100;
      const full = result.fullLogits[row];
      if (full) full[wanted] = 100;
    });
    return result;
  }
}

/** A row of logits as the caller's function leaves it. */
import { KvasirError } from '../errors.js';
import type { ProcessLogits } from './hooks.js';
import { LargestFinder } from './largest.js';
import type { LogitRow } from './sampling-options.js';

export class LogitsProcessor {
  readonly #process: ProcessLogits;
  readonly #temperature: number;
  /** [vocabSize] what the function may change: the row itself stays the model's. */
  #logits: Float32Array | undefined;
  #finder: LargestFinder | undefined;

  /** @param temperature 0: greedy */
  constructor(process: ProcessLogits, temperature: number) {
    this.#process = process;
    this.#temperature = temperature || 1;
  }

  /** @param row with all its logits. Throws INVALID_OPTION for what no token can be chosen of, and what the function throws. */
  apply(row: LogitRow, tokens: readonly number[]): LogitRow {
    const given = row.full!;
    this.#logits ??= new Float32Array(given.length);
    this.#finder ??= new LargestFinder(given.length);
    const full = this.#logits;
    full.set(given);
    const returned: unknown = this.#process(full, { tokens });
    checkReturned(returned);
    let largest = Number.NEGATIVE_INFINITY;
    for (const logit of full) {
      if (Number.isNaN(logit)) throw fault('wrote NaN');
      if (logit > largest) largest = logit;
    }
    if (!Number.isFinite(largest)) throw fault(largest < 0 ? 'left no token' : 'wrote an infinite logit');
    const ids = new Int32Array(row.ids.length);
    this.#finder.find(full, full.length, ids.length, ids);
    return {
      ids,
      logits: Float32Array.from(ids, (id) => full[id]),
      logSumExp: logSumExp(full, largest, this.#temperature),
      logSumExp1: logSumExp(full, largest, 1),
      full,
    };
  }
}

function checkReturned(returned: unknown): void {
  if (returned === undefined) return;
  if (typeof (returned as { then?: unknown } | null)?.then === 'function') {
    // Nobody waits for it.
    (returned as Promise<unknown>).then(undefined, () => {});
  }
  throw fault('returned something: it changes the logits in place, and is synchronous');
}

function fault(what: string): KvasirError {
  return new KvasirError('INVALID_OPTION', `processLogits ${what}.`, {
    details: { option: 'processLogits' },
  });
}

function logSumExp(logits: Float32Array, largest: number, temperature: number): number {
  let sum = 0;
  for (const logit of logits) sum += Math.exp((logit - largest) / temperature);
  return largest / temperature + Math.log(sum);
}

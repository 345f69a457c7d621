/**
 * A request that generates several texts after one prompt, which is computed once: a branch each, with a sampler of its
 * own. Each gets what a request of its own with the same settings gets.
 */
import type { StepResult } from '../native.js';
import { Continuation, type ContinuationTask, mostTokens } from './continuation.js';
import { Deferred } from './deferred.js';
import { type Branch, type CacheUse, Request, type WantedRow } from './request.js';
import type { FinishReason } from './run.js';

export interface SamplesTask extends ContinuationTask {
  /** One a text, in place of that of the settings. */
  seeds: readonly number[];
  cache: CacheUse;
  adapter?: number;
}

export interface Sample {
  text: string;
  tokens: number[];
  finishReason: FinishReason;
}

export class SamplesRequest extends Request {
  readonly #promptTokens: number;
  readonly #continuations: readonly Continuation[];
  readonly #result = new Deferred<Sample[]>();

  constructor(task: SamplesTask) {
    const { prompt, settings, seeds, cache } = task;
    super(prompt, prompt.length + mostTokens(task) - 1, cache, seeds.length, task.adapter);
    this.#promptTokens = prompt.length;
    this.#continuations = seeds.map((seed) => {
      const sampling = { ...settings.sampling, seed };
      return new Continuation({ ...task, settings: { ...settings, sampling } });
    });
  }

  /** In the order of the seeds. An abort gives what there is. */
  get result(): Promise<Sample[]> {
    return this.#result.promise;
  }

  get paused(): boolean {
    return false;
  }

  wantedRows(count: number, branch: Branch): WantedRow[] {
    return count < this.remaining(branch) ? [] : [this.#of(branch).wantedRow(branch)];
  }

  take(result: StepResult, first: number, _count: number, _now: number, branch: Branch): void {
    // All sample from the prompt's row.
    const atPrompt = branch.length === this.#promptTokens;
    for (const one of atPrompt ? this.branches : [branch]) {
      const continuation = this.#of(one);
      continuation.take(one, result, first);
      one.settled = continuation.finishReason !== undefined;
    }
    if (this.live.length === 0) this.#settle();
  }

  abort(): void {
    if (this.settled) return;
    for (const continuation of this.#continuations) continuation.finishReason ??= 'abort';
    this.#settle();
  }

  fail(error: unknown): void {
    if (this.settled) return;
    this.settled = true;
    this.#result.reject(error);
  }

  #of(branch: Branch): Continuation {
    return this.#continuations[this.branches.indexOf(branch)];
  }

  #settle(): void {
    this.settled = true;
    this.#result.resolve(
      this.#continuations.map((continuation, i) => {
        continuation.flush();
        const { tokens, length } = this.branches[i];
        return {
          text: continuation.text,
          tokens: Array.from(tokens.subarray(this.#promptTokens, length)),
          finishReason: continuation.finishReason as FinishReason,
        };
      }),
    );
  }
}

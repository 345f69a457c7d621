/**
 * A request that draws several texts after one prompt, which is computed once: a branch each, with a sampler of its own.
 * Each gets what a request of its own with its seed gets. Where all of them come, the first one streams; where the best
 * are chosen, they come at the end.
 */
import type { SearchSettings } from '../generation/search-options.js';
import type { OutputPiece } from '../output/pieces.js';
import type { StepResult } from '../native.js';
import { MOST_DRAFTED } from '../speculation/options.js';
import type { StepCost } from '../speculation/step-cost.js';
import { ChoicesRequest, type EndedText } from './choices-request.js';
import { Continuation, type GeneratedToken } from './continuation.js';
import type { GenerationTask } from './generation-request.js';
import type { Branch, WantedRow } from './request.js';
import { Speculation, sumOf } from './speculation.js';

export class SamplesRequest extends ChoicesRequest {
  readonly #search: SearchSettings;
  readonly #continuations: readonly Continuation[];
  /** [branches] where tokens are drafted. */
  readonly #speculations: readonly Speculation[];
  /** What the first text got and its reader does not have yet; absent where texts are chosen. */
  #news: GeneratedToken[] | undefined;

  constructor(task: GenerationTask, search: SearchSettings) {
    super(task, search.bestOf);
    this.#search = search;
    const isChosen = search.bestOf > search.n;
    this.#news = isChosen ? undefined : [];
    const { settings } = task;
    this.#continuations = this.branches.map((_, i) => {
      const sampling = { ...settings.sampling, seed: (settings.sampling.seed + i) % Number.MAX_SAFE_INTEGER };
      return new Continuation({ ...task, settings: { ...settings, sampling }, scored: isChosen });
    });
    const speculations = this.branches.map(({ positions }) => Speculation.of(task, positions));
    this.#speculations = speculations.filter((one) => one !== undefined);
    this.mostDrafted = this.#speculations.length > 0 ? MOST_DRAFTED : 0;
  }

  wantedRows(count: number, branch: Branch): WantedRow[] {
    if (count < this.remaining(branch)) return [];
    const row = this.#of(branch).wantedRow(branch);
    return this.#speculationOf(branch)?.rows(row, branch) ?? [row];
  }

  override propose(branch: Branch, cost: StepCost): readonly number[] {
    return this.#speculationOf(branch)?.propose(branch, cost) ?? [];
  }

  take(result: StepResult, first: number, _count: number, now: number, branch: Branch): void {
    this.tick(now);
    // All sample from the prompt's row.
    const atPrompt = branch.length === this.shared;
    for (const one of atPrompt ? this.branches : [branch]) {
      const continuation = this.#of(one);
      const tokens = this.#take(continuation, one, result, first);
      this.generated += tokens.length;
      if (one === this.branch) this.#news?.push(...tokens);
      one.settled = continuation.finishReason !== undefined;
    }
    if (this.live.length === 0) this.settled = true;
  }

  override emit(): void {
    const { run } = this.task;
    for (const { token, pieces, logprob } of this.#news ?? []) run.push(token, pieces, logprob);
    if (this.#news) this.#news = [];
    for (const branch of this.live) this.#of(branch).prepare(branch);
    if (this.settled && !run.settled) this.#end();
  }

  abort(): void {
    if (this.settled) return;
    for (const continuation of this.#continuations) continuation.finishReason ??= 'abort';
    this.settled = true;
    this.emit();
  }

  #take(continuation: Continuation, branch: Branch, result: StepResult, first: number): GeneratedToken[] {
    const speculation = this.#speculationOf(branch);
    const taken: GeneratedToken[] = [];
    if (speculation) {
      taken.push(...speculation.take(continuation, branch, result, first));
    } else {
      const token = continuation.take(branch, result, first);
      if (token) taken.push(token);
    }
    for (const token of continuation.takeForced(branch)) {
      taken.push(token);
      speculation?.follow(token);
    }
    return taken;
  }

  protected override get speculationCounts() {
    return sumOf(this.#speculations);
  }

  #speculationOf(branch: Branch): Speculation | undefined {
    return this.#speculations[this.branches.indexOf(branch)];
  }

  #of(branch: Branch): Continuation {
    return this.#continuations[this.branches.indexOf(branch)];
  }

  #end(): void {
    const held: OutputPiece[][] = [];
    const texts = this.#continuations.map((continuation, i): EndedText => {
      held[i] = continuation.flush();
      const { tokens, length } = this.branches[i];
      const own = Array.from(tokens.subarray(this.shared, length));
      return {
        text: continuation.text,
        tokens: own,
        finishReason: continuation.finishReason!,
        answer: continuation.answer,
        logprobs: continuation.logprobs,
        outcome: continuation.outcome(),
        score: this.#news ? undefined : continuation.logprobSum / Math.max(1, own.length),
      };
    });
    if (this.#news) {
      this.finish(texts, held[0]);
      return;
    }
    // Sorting keeps the order of equal ones.
    const best = texts.toSorted((a, b) => b.score! - a.score!).slice(0, this.#search.n);
    this.finishAtOnce(best);
  }
}

/** A request that generates one text and streams it to its run. */
import type { StepResult } from '../native.js';
import { MOST_DRAFTED } from '../speculation/options.js';
import type { StepCost } from '../speculation/step-cost.js';
import {
  Continuation,
  type ContinuationTask,
  type GeneratedToken,
  mostTokens,
  type Vocabulary,
} from './continuation.js';
import { perSecond } from './per-second.js';
import { type Branch, type CacheUse, Request, type WantedRow } from './request.js';
import type { FinishReason, GenerationResult, GenerationRun } from './run.js';
import { Speculation, sumOf } from './speculation.js';

export type { Vocabulary };

export interface GenerationTask extends ContinuationTask {
  run: GenerationRun;
  cache: CacheUse;
  /** What `loadAdapter` gave. Default: none. */
  adapter?: number;
  /** When `generate` was called, in ms of `performance.now()`. */
  createdAt: number;
  /** What a session left out of its conversation to make it fit. */
  droppedTokens?: number;
}

export class GenerationRequest extends Request {
  readonly #task: GenerationTask;
  readonly #continuation: Continuation;
  /** What `take` found and the caller does not have yet. */
  #news: GeneratedToken[] = [];
  readonly #speculation: Speculation | undefined;
  #cachedTokens = 0;
  #startedAt = 0;
  #firstTokenAt = 0;
  #lastTokenAt = 0;

  constructor(task: GenerationTask) {
    super(task.prompt, task.prompt.length + mostTokens(task) - 1, task.cache, 1, task.adapter);
    this.#task = task;
    this.#continuation = new Continuation(task);
    this.#speculation = Speculation.of(task, this.branch.positions);
    this.mostDrafted = this.#speculation ? MOST_DRAFTED : 0;
  }

  get paused(): boolean {
    return this.#task.run.full;
  }

  override onStart(cached: number, now: number): void {
    if (this.#startedAt > 0) return;
    this.#startedAt = now;
    this.#cachedTokens = cached;
    this.#task.run.begin({ promptTokens: this.#task.prompt.length, cachedTokens: cached });
  }

  wantedRows(count: number): WantedRow[] {
    if (count < this.remaining(this.branch)) return [];
    const row = this.#continuation.wantedRow(this.branch);
    return this.#speculation?.rows(row, this.branch) ?? [row];
  }

  override get waiting(): boolean {
    return this.#speculation?.waiting === true;
  }

  override propose(branch: Branch, cost: StepCost): readonly number[] {
    return this.#speculation?.propose(branch, cost) ?? [];
  }

  take(result: StepResult, first: number, _count: number, now: number): void {
    if (this.#speculation) {
      this.#news.push(...this.#speculation.take(this.#continuation, this.branch, result, first));
    } else {
      const token = this.#continuation.take(this.branch, result, first);
      if (token) this.#news.push(token);
    }
    for (const token of this.#continuation.takeForced(this.branch)) {
      this.#news.push(token);
      this.#speculation?.follow(token);
    }
    if (this.#firstTokenAt === 0) this.#firstTokenAt = now;
    this.#lastTokenAt = now;
    this.settled = this.#continuation.finishReason !== undefined;
  }

  override emit(): void {
    const { run } = this.#task;
    const news = this.#news;
    this.#news = [];
    for (const { token, pieces, logprob } of news) run.push(token, pieces, logprob);
    this.#continuation.prepare(this.branch);
    if (this.#continuation.finishReason === undefined || run.settled) return;
    this.#speculation?.end();
    const rest = this.#continuation.flush();
    run.finish(this.#result(this.#continuation.finishReason), rest);
  }

  abort(): void {
    if (this.settled) return;
    this.settled = true;
    this.#continuation.finishReason = 'abort';
    this.emit();
  }

  fail(error: unknown): void {
    if (this.settled) return;
    this.emit();
    this.settled = true;
    this.#speculation?.end();
    this.#task.run.fail(error);
  }

  #result(finishReason: FinishReason): GenerationResult {
    const { tokens, length } = this.branch;
    const promptTokens = this.#task.prompt.length;
    const computedPrompt = promptTokens - this.#cachedTokens;
    const generated = length - promptTokens;
    const first = this.#firstTokenAt;
    const result: GenerationResult = {
      text: this.#continuation.text,
      tokens: Array.from(tokens.subarray(promptTokens, length)),
      finishReason,
      usage: { promptTokens, completionTokens: generated, cachedTokens: this.#cachedTokens },
      timings: {
        ttftMs: first > 0 ? first - this.#task.createdAt : 0,
        prefillTokensPerSecond: first > 0 ? perSecond(computedPrompt, first - this.#startedAt) : 0,
        decodeTokensPerSecond: perSecond(generated - 1, this.#lastTokenAt - first),
        ...sumOf(this.#speculation ? [this.#speculation] : []),
      },
    };
    if (this.#continuation.logprobs) result.logprobs = this.#continuation.logprobs;
    const { droppedTokens = 0 } = this.#task;
    if (droppedTokens > 0) result.usage.droppedTokens = droppedTokens;
    const { answer } = this.#continuation;
    if (answer?.hasReasoning) result.reasoning = answer.reasoning;
    if (answer && this.#task.plan?.hasTools) result.toolCalls = answer.calls;
    return Object.assign(result, this.#continuation.outcome());
  }
}

/** A request that generates one text and streams it to its run. */
import type { StepResult } from '../native.js';
import {
  Continuation,
  type ContinuationTask,
  type GeneratedToken,
  mostTokens,
  type Vocabulary,
} from './continuation.js';
import { perSecond } from './per-second.js';
import { type CacheUse, Request, type WantedRow } from './request.js';
import type { FinishReason, GenerationResult, GenerationRun } from './run.js';

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
  #news: GeneratedToken | undefined;
  #cachedTokens = 0;
  #startedAt = 0;
  #firstTokenAt = 0;
  #lastTokenAt = 0;

  constructor(task: GenerationTask) {
    super(task.prompt, task.prompt.length + mostTokens(task) - 1, task.cache, 1, task.adapter);
    this.#task = task;
    this.#continuation = new Continuation(task);
  }

  get paused(): boolean {
    return this.#task.run.full;
  }

  override onStart(cached: number, now: number): void {
    if (this.#startedAt > 0) return;
    this.#startedAt = now;
    this.#cachedTokens = cached;
  }

  wantedRows(count: number): WantedRow[] {
    if (count < this.remaining(this.branch)) return [];
    return [this.#continuation.wantedRow(this.branch)];
  }

  take(result: StepResult, first: number, _count: number, now: number): void {
    this.#news = this.#continuation.take(this.branch, result, first);
    if (this.#firstTokenAt === 0) this.#firstTokenAt = now;
    this.#lastTokenAt = now;
    this.settled = this.#continuation.finishReason !== undefined;
  }

  override emit(): void {
    const { run } = this.#task;
    const news = this.#news;
    this.#news = undefined;
    if (news) run.push(news.token, news.pieces, news.logprob);
    this.#continuation.prepare(this.branch);
    if (this.#continuation.finishReason === undefined || run.settled) return;
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

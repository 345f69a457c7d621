/** A request that generates: it samples one token per step, turns it into text and ends when it must. */
import type { GeneratedLogprob } from '../generation/logprobs.js';
import { describeLogprobs, logprobsNeedFullRow } from '../generation/logprobs.js';
import { Sampler, type SamplerBuffers } from '../generation/sampler.js';
import type { LogitRow } from '../generation/sampling-options.js';
import { TextOutput, type TokenDecoder } from '../generation/text.js';
import type { StepResult } from '../native.js';
import type { GenerateSettings } from '../options.js';
import { type CacheUse, Request, type WantedRow } from './request.js';
import type { FinishReason, GenerationResult, GenerationRun } from './run.js';

/** Candidates that native returns per row (the vocabulary, where that is smaller). */
const CANDIDATES = 256;

/** What generating needs of the model's vocabulary. */
export interface Vocabulary {
  size: number;
  /** Any of these ends the text. */
  endTokens: ReadonlySet<number>;
  /** Text of one token by itself. */
  textOf(id: number): string;
  /** @param after the last token before the text. */
  createDecoder(after: number): TokenDecoder;
}

export interface GenerationTask {
  run: GenerationRun;
  /** At least one id; not longer than the context. */
  prompt: Int32Array;
  settings: GenerateSettings;
  contextLength: number;
  vocabulary: Vocabulary;
  buffers: SamplerBuffers;
  cache: CacheUse;
  /** When `generate` was called, in ms of `performance.now()`. */
  createdAt: number;
}

export class GenerationRequest extends Request {
  readonly #task: GenerationTask;
  readonly #sampler: Sampler;
  readonly #output: TextOutput;
  readonly #promptTokens: number;
  readonly #maxTokens: number;
  readonly #fullRows: boolean;
  readonly #logprobs: GeneratedLogprob[] | undefined;
  #text = '';
  /** What `take` found and the caller does not have yet. */
  #news: { token: number; text: string; logprob: GeneratedLogprob | undefined } | undefined;
  #finishReason: FinishReason | undefined;
  #cachedTokens = 0;
  #startedAt = 0;
  #firstTokenAt = 0;
  #lastTokenAt = 0;

  constructor(task: GenerationTask) {
    const { prompt, settings, contextLength, vocabulary, buffers } = task;
    // The last token is never computed, so it needs no position.
    const maxTokens = Math.min(settings.maxTokens, contextLength - prompt.length + 1);
    super(prompt, prompt.length + maxTokens - 1, task.cache);
    this.#task = task;
    this.#promptTokens = prompt.length;
    this.#maxTokens = maxTokens;
    this.#sampler = new Sampler(settings.sampling, buffers);
    this.#sampler.acceptPrompt(prompt);
    this.#output = new TextOutput(vocabulary.createDecoder(prompt[prompt.length - 1]), settings.stop);
    const candidates = Math.min(CANDIDATES, vocabulary.size);
    this.#fullRows =
      this.#sampler.needsFullRow(candidates) ||
      logprobsNeedFullRow(settings.logprobs ?? 0, candidates, vocabulary.size);
    this.#logprobs = settings.logprobs === undefined ? undefined : [];
  }

  get paused(): boolean {
    return this.#task.run.full;
  }

  get #generated(): number {
    return this.length - this.#promptTokens;
  }

  protected override onStart(cached: number, now: number): void {
    if (this.#startedAt > 0) return;
    this.#startedAt = now;
    this.#cachedTokens = cached;
  }

  wantedRows(count: number): WantedRow[] {
    if (count < this.remaining) return [];
    const temperature = this.#task.settings.sampling.temperature;
    return [{ position: this.length - 1, temperature, fullLogits: this.#fullRows, target: -1 }];
  }

  take(result: StepResult, first: number, _count: number, now: number): void {
    const row = rowOf(result, first);
    const token = this.#sampler.sample(row);
    const { vocabulary, settings } = this.#task;
    if (this.#firstTokenAt === 0) this.#firstTokenAt = now;
    this.#lastTokenAt = now;
    if (!settings.ignoreEos && vocabulary.endTokens.has(token)) {
      this.#settle('stop');
      return;
    }
    this.tokens[this.length++] = token;
    const text = this.#output.push(token);
    this.#text += text;
    this.#news = { token, text, logprob: this.#describe(row, token) };
    if (this.#output.stopped) this.#settle('stop');
    else if (this.#generated >= this.#maxTokens) this.#settle('length');
  }

  override emit(): void {
    const { run } = this.#task;
    const news = this.#news;
    this.#news = undefined;
    if (news) run.push(news.token, news.text, news.logprob);
    if (this.#finishReason === undefined || run.settled) return;
    const rest = this.#output.flush();
    this.#text += rest;
    // A stop string may end with what the decoder held back.
    const stopped = this.#finishReason === 'length' && this.#output.stopped;
    run.finish(this.#result(stopped ? 'stop' : this.#finishReason), rest);
  }

  abort(): void {
    if (this.settled) return;
    this.#settle('abort');
    this.emit();
  }

  fail(error: unknown): void {
    if (this.settled) return;
    this.emit();
    this.settled = true;
    this.#task.run.fail(error);
  }

  #settle(reason: FinishReason): void {
    this.settled = true;
    this.#finishReason = reason;
  }

  #describe(row: LogitRow, token: number): GeneratedLogprob | undefined {
    const { settings, vocabulary } = this.#task;
    if (!this.#logprobs) return undefined;
    const entry = describeLogprobs(row, token, settings.logprobs ?? 0, vocabulary.textOf);
    this.#logprobs.push(entry);
    return entry;
  }

  #result(finishReason: FinishReason): GenerationResult {
    const computedPrompt = this.#promptTokens - this.#cachedTokens;
    const generated = this.#generated;
    const first = this.#firstTokenAt;
    const result: GenerationResult = {
      text: this.#text,
      tokens: Array.from(this.tokens.subarray(this.#promptTokens, this.length)),
      finishReason,
      usage: {
        promptTokens: this.#promptTokens,
        completionTokens: generated,
        cachedTokens: this.#cachedTokens,
      },
      timings: {
        ttftMs: first > 0 ? first - this.#task.createdAt : 0,
        prefillTokensPerSecond: first > 0 ? perSecond(computedPrompt, first - this.#startedAt) : 0,
        decodeTokensPerSecond: generated > 1 ? perSecond(generated - 1, this.#lastTokenAt - first) : 0,
      },
    };
    if (this.#logprobs) result.logprobs = this.#logprobs;
    return result;
  }
}

function perSecond(count: number, milliseconds: number): number {
  return milliseconds > 0 ? (1000 * count) / milliseconds : 0;
}

function rowOf(result: StepResult, row: number): LogitRow {
  const from = row * result.candidates;
  const to = from + result.candidates;
  return {
    ids: result.candidateIds.subarray(from, to),
    logits: result.candidateLogits.subarray(from, to),
    logSumExp: result.logSumExp[row],
    logSumExp1: result.logSumExp1[row],
    full: result.fullLogits[row],
  };
}

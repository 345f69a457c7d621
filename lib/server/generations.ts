/**
 * The runs of one request: every prompt as often as it is asked for. Drawn answers to one prompt are one run, which computes
 * the prompt once; where they stream, or are greedy, each is a run of its own, side by side in the engine.
 */
import type { GenerationChunk, Generation, GenerationResult } from '../engine/run.js';
import type { GenerateOptions } from '../options.js';
import type { Prompt } from '../prompt.js';
import type { Call } from './call.js';
import { failureOf, invalid } from './failure.js';

export interface GenerationTask {
  prompts: readonly Prompt[];
  /** Answers to each prompt. */
  n: number;
  options: GenerateOptions;
  /** What the chat template knows besides. */
  variables?: Record<string, unknown>;
  /** All answers are told as they grow. */
  streams?: boolean;
}

/** What one run brings: a chunk, or its end. Runs are numbered prompt by prompt, `n` to each. */
export type RunPart =
  | { index: number; chunk: GenerationChunk; result?: undefined }
  | { index: number; chunk?: undefined; result: GenerationResult };

export interface TotalUsage {
  promptTokens: number;
  completionTokens: number;
  cachedTokens: number;
}

const LARGEST_SEED = Number.MAX_SAFE_INTEGER;

export class Generations {
  readonly #call: Call;
  readonly #runs: readonly Generation[];
  readonly #n: number;

  /** Throws a Failure for more runs than a request may have. */
  constructor(call: Call, { prompts, n, options, variables, streams }: GenerationTask) {
    const count = prompts.length * Math.max(n, options.bestOf ?? 1);
    if (count > call.limits.sequences) {
      throw invalid(`${count} texts are asked for at once; at most ${call.limits.sequences} may be.`, 'n');
    }
    this.#call = call;
    this.#n = n;
    const { signal } = call;
    const isOne = options.bestOf !== undefined || (n > 1 && !streams && isDrawn(options));
    this.#runs = prompts.flatMap((prompt) => {
      if (isOne) return [call.generate(prompt, { ...options, n, signal }, variables)];
      return Array.from({ length: n }, (_, i) =>
        call.generate(prompt, { ...options, seed: seedOf(options.seed, i), signal }, variables),
      );
    });
  }

  /** In the order of the runs. Rejects with what the first run rejects with, or with the call's Failure. */
  async results(): Promise<GenerationResult[]> {
    try {
      const results = (await Promise.all(this.#runs)).flatMap(answersOf);
      this.#call.signal.throwIfAborted();
      this.#tell(results);
      return results;
    } catch (error) {
      this.#call.abort(failureOf(error));
      throw error;
    }
  }

  /** Chunks of all runs as they come, and the end of each. Rejects as `results` does. */
  async *parts(): AsyncGenerator<RunPart, undefined> {
    const iterators = this.#runs.map((run) => run[Symbol.asyncIterator]());
    const next = async (index: number) => ({ index, step: await iterators[index].next() });
    const pending = new Map(iterators.map((_, index) => [index, next(index)]));
    const results: GenerationResult[] = [];
    try {
      while (pending.size > 0) {
        const { index, step } = await Promise.race(pending.values());
        if (!step.done) {
          pending.set(index, next(index));
          yield { index, chunk: step.value };
          continue;
        }
        pending.delete(index);
        const result = await this.#runs[index];
        this.#call.signal.throwIfAborted();
        results[index] = result;
        yield { index, result };
      }
      this.#tell(results);
      return undefined;
    } finally {
      for (const index of pending.keys()) void iterators[index].return?.();
      for (const one of pending.values()) one.catch(() => {});
    }
  }

  /** Each prompt counts once, however many answers it has. */
  usageOf(results: readonly GenerationResult[]): TotalUsage {
    const usage = { promptTokens: 0, completionTokens: 0, cachedTokens: 0 };
    for (const [i, result] of results.entries()) {
      usage.completionTokens += result.usage.completionTokens;
      if (i % this.#n !== 0) continue;
      usage.promptTokens += result.usage.promptTokens;
      usage.cachedTokens += result.usage.cachedTokens;
    }
    return usage;
  }

  #tell(results: readonly GenerationResult[]): void {
    const { facts } = this.#call;
    Object.assign(facts, this.usageOf(results));
    facts.finishReasons = results.map(({ finishReason }) => finishReason);
    const [{ timings }] = results;
    facts.ttftMs = (facts.queueMs ?? 0) + timings.ttftMs;
    if (timings.decodeTokensPerSecond > 0) facts.msPerToken = 1000 / timings.decodeTokensPerSecond;
  }
}

/** Of several answers to one prompt, which the engine draws together only beside plain text at a temperature. */
function isDrawn({ temperature = 0, responseFormat }: GenerateOptions): boolean {
  return temperature > 0 && responseFormat === undefined;
}

/** Each answer of a run as a result of its own; all tokens count for the first one. */
function answersOf(result: GenerationResult): GenerationResult[] {
  if (result.choices === undefined) return [result];
  return result.choices.map((choice, i) => {
    const usage = i === 0 ? result.usage : { ...result.usage, completionTokens: 0 };
    const { score: _, ...answer } = choice;
    return { ...answer, usage, timings: result.timings };
  });
}

/** Answers to one prompt differ, and are the same again with the same seed. */
function seedOf(seed: number | undefined, i: number): number | undefined {
  if (seed === undefined) return undefined;
  return seed + i <= LARGEST_SEED ? seed + i : seed + i - LARGEST_SEED - 1;
}

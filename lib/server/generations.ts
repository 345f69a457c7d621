/**
 * The runs of one request: every prompt as often as it is asked for. Drawn answers to one prompt are one run, which computes
 * the prompt once; where they stream, or are greedy, each is a run of its own, side by side in the engine.
 */
import type { Generation, GenerationResult } from '../engine/run.js';
import type { GenerateOptions } from '../options.js';
import type { Prompt } from '../prompt.js';
import { withoutBeginning } from './begun-answer.js';
import type { Call } from './call.js';
import type { EventSource } from './event-source.js';
import { failureOf, invalid } from './failure.js';
import { type EventWriter, RunEvents } from './run-events.js';

export interface GenerationTask {
  prompts: readonly Prompt[];
  /** Answers to each prompt. */
  n: number;
  options: GenerateOptions;
  /** What the chat template knows besides. */
  variables?: Record<string, unknown>;
  /** All answers are told as they grow. */
  streams?: boolean;
  /** Text that each answer goes on from, and that is not told. */
  begun?: string;
}

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
  readonly #begun: string;

  /** Throws a Failure for more runs than a request may have. */
  constructor(call: Call, { prompts, n, options: given, variables, streams, begun = '' }: GenerationTask) {
    const options = begun === '' ? given : { ...given, answerPrefix: begun };
    const count = prompts.length * Math.max(n, options.bestOf ?? 1);
    if (count > call.limits.sequences) {
      throw invalid(`${count} texts are asked for at once; at most ${call.limits.sequences} may be.`, 'n');
    }
    this.#call = call;
    this.#n = n;
    this.#begun = begun;
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
      const answers = (await Promise.all(this.#runs)).flatMap(answersOf);
      const results = answers.map((answer) => withoutBeginning(answer, this.#begun));
      this.#call.signal.throwIfAborted();
      this.#tell(results);
      return results;
    } catch (error) {
      this.#call.abort(failureOf(error));
      throw error;
    }
  }

  /** What the runs bring, as `writer` tells it. They fail as `results` does. */
  events(writer: EventWriter): EventSource {
    const { signal } = this.#call;
    return new RunEvents({
      runs: this.#runs,
      writer,
      begun: this.#begun,
      signal,
      onResults: (results) => this.#tell(results),
    });
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

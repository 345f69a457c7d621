/**
 * What `generate` returns: one object to iterate, await, both or neither. It holds output between the engine and its
 * reader, and asks the engine to wait when nobody reads.
 */
import type { GeneratedLogprob } from '../generation/logprobs.js';
import type { OutputPiece, ToolCall } from '../output/pieces.js';
import { type GenerationChunk, UnreadOutput } from './chunks.js';
import { Deferred } from './deferred.js';

export type { GenerationChunk };

/**
 * `stop`: end of text or a stop string. `length`: maxTokens or the context is used up. `abort`: signal, or left loop.
 * `tool_calls`: the answer ended, and has calls. `content_filter`: the guard ended it.
 */
export type FinishReason = 'stop' | 'length' | 'abort' | 'tool_calls' | 'content_filter';

/** One of several texts. */
export interface Choice {
  text: string;
  reasoning?: string;
  toolCalls?: ToolCall[];
  tokens: number[];
  finishReason: FinishReason;
  logprobs?: GeneratedLogprob[];
  /** With `bestOf` the mean log-probability of its tokens; with `beams` their sum over length ^ lengthPenalty. */
  score?: number;
  /** As of the whole result. */
  object?: unknown;
  closed?: boolean;
}

export interface GenerationResult {
  /** Without the stop string, reasoning and calls. */
  text: string;
  /** The model's thoughts, where its chat template has markers for them and it has thought. */
  reasoning?: string;
  /** In the order of their `index`; empty where the model called nothing. Absent where no tools were given. */
  toolCalls?: ToolCall[];
  /** What was generated, without the end-of-text token; the tokens of a stop string are there. */
  tokens: number[];
  finishReason: FinishReason;
  usage: {
    promptTokens: number;
    /** Length of `tokens`; where there are several texts, of all that were generated. */
    completionTokens: number;
    /** Prompt tokens that were found in the cache. */
    cachedTokens: number;
    /** What the session's `overflow` has left out of the conversation for this answer; absent: nothing. */
    droppedTokens?: number;
  };
  timings: {
    /** From `generate()` to the first token; 0 when there was none. */
    ttftMs: number;
    /** Prompt tokens that were computed, per second; 0 when the prompt was not finished. */
    prefillTokensPerSecond: number;
    /** Tokens after the first, per second; 0 when there are fewer than two. */
    decodeTokensPerSecond: number;
    /** With `speculate`: tokens that were drafted and checked, and those of them that were right. */
    draftedTokens?: number;
    acceptedTokens?: number;
  };
  /** One per generated token, when `logprobs` asked for them. */
  logprobs?: GeneratedLogprob[];
  /** Where `n`, `bestOf` or `beams` is above 1: all texts that come, of which the first is the one above. */
  choices?: Choice[];
  /**
   * With `responseFormat`: the JSON value, or the choice; absent for other formats, where the answer is calls of tools, and
   * where an abort, a stop string or a guard ended or changed the text.
   */
  object?: unknown;
  /** With `responseFormat` or tools: what was open was brought to its end because `maxTokens` ran short. */
  closed?: boolean;
}

/** Output that nobody has read: beyond either bound the request pauses, unless somebody awaits its result. */
const MAX_UNREAD_TOKENS = 1024;
const MAX_UNREAD_CHARACTERS = 65_536;

/** Who fills a run. Called at once, not in a later microtask. */
export interface Producer {
  /** Somebody reads again, or awaits: go on. */
  onDemand(): void;
  /** The reader left the loop. */
  onCancel(): void;
  /** The outcome is there; `undefined`: it failed. */
  onSettled?(result: GenerationResult | undefined): void;
}

interface Waiting {
  resolve(result: IteratorResult<GenerationChunk, undefined>): void;
  reject(error: unknown): void;
}

/** What is known of a prompt once it runs. */
export type PromptUsage = Pick<GenerationResult['usage'], 'promptTokens' | 'cachedTokens'>;

/** A run's output for one who is told when there is some: no promise is made for a chunk. */
export interface ChunkReader {
  /** What there is; undefined: nothing yet, or nothing any more. Throws what the run failed with, once. */
  take(): GenerationChunk | undefined;
  /** Of a run that has ended, once `take` gives nothing. */
  result(): GenerationResult | undefined;
  /** There with the first chunk, of a run that generates one text. */
  prompt(): PromptUsage | undefined;
  /** Reads no more, and ends the run with `abort` where it has not ended. */
  leave(): void;
}

/** Iterate it, await it, both or neither. */
export interface Generation extends Promise<GenerationResult>, AsyncIterable<GenerationChunk> {}

export class GenerationRun implements Generation {
  readonly [Symbol.toStringTag] = 'GenerationRun';
  readonly #result = new Deferred<GenerationResult>();
  #producer: Producer | undefined;
  readonly #unread = new UnreadOutput();
  #waiting: Waiting[] = [];
  #onNews: (() => void) | undefined;
  #outcome: GenerationResult | undefined;
  #prompt: PromptUsage | undefined;
  #state: 'open' | 'ended' | 'failed' | 'left' = 'open';
  #error: unknown;
  #awaited = false;
  #settled = false;

  /** One that never began. */
  static failed(error: unknown, onSettled?: Producer['onSettled']): GenerationRun {
    const run = new GenerationRun();
    run.fail(error);
    onSettled?.(undefined);
    return run;
  }

  /** From here to `fail` is the producer's side; callers see a `Generation`. */
  attach(producer: Producer): void {
    this.#producer = producer;
  }

  /** The outcome is there. */
  get settled(): boolean {
    return this.#settled;
  }

  /** Output waits unread beyond the bound: produce no more until `onDemand`. */
  get full(): boolean {
    if (this.#awaited || this.#state !== 'open') return false;
    return this.#unread.tokens >= MAX_UNREAD_TOKENS || this.#unread.characters >= MAX_UNREAD_CHARACTERS;
  }

  /** The prompt runs. */
  begin(prompt: PromptUsage): void {
    this.#prompt = prompt;
  }

  push(token: number, pieces: readonly OutputPiece[], logprob: GeneratedLogprob | undefined): void {
    if (this.#state !== 'open') return;
    this.#unread.add(pieces, token, logprob);
    this.#serve();
  }

  /** Many tokens at once, in one chunk. */
  pushAll(
    tokens: readonly number[],
    pieces: readonly OutputPiece[],
    logprobs: readonly GeneratedLogprob[],
  ): void {
    if (this.#state !== 'open') return;
    this.#unread.add(pieces);
    tokens.forEach((token, i) => {
      this.#unread.add([], token, logprobs[i]);
    });
    this.#serve();
  }

  /** @param pieces what was held back until now. */
  finish(result: GenerationResult, pieces: readonly OutputPiece[]): void {
    if (this.#settled) return;
    this.#settled = true;
    if (this.#state === 'open') {
      this.#unread.add(pieces);
      this.#state = 'ended';
    }
    this.#outcome = result;
    this.#result.resolve(result);
    this.#serve();
    this.#producer?.onSettled?.(result);
  }

  fail(error: unknown): void {
    if (this.#settled) return;
    this.#settled = true;
    if (this.#state === 'open') {
      this.#state = 'failed';
      this.#error = error;
    }
    this.#result.reject(error);
    this.#serve();
    this.#producer?.onSettled?.(undefined);
  }

  /** In the place of iterators. @param onNews called at once when there is more, or the end; it does not throw */
  reader(onNews: () => void): ChunkReader {
    this.#onNews = onNews;
    return {
      take: () => this.#takeOrThrow(),
      result: () => (this.#state === 'ended' ? this.#outcome : undefined),
      prompt: () => this.#prompt,
      leave: () => {
        this.#onNews = undefined;
        this.#leave();
      },
    };
  }

  // biome-ignore lint/suspicious/noThenProperty: awaiting the run gives its result
  then<A = GenerationResult, B = never>(
    onFulfilled?: ((result: GenerationResult) => A | PromiseLike<A>) | null,
    onRejected?: ((error: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    if (!this.#awaited) {
      this.#awaited = true;
      this.#producer?.onDemand();
    }
    return this.#result.promise.then(onFulfilled, onRejected);
  }

  catch<B = never>(
    onRejected?: ((error: unknown) => B | PromiseLike<B>) | null,
  ): Promise<GenerationResult | B> {
    return this.then(null, onRejected);
  }

  finally(onFinally?: (() => void) | null): Promise<GenerationResult> {
    this.then(null, () => {});
    return this.#result.promise.finally(onFinally);
  }

  /** All iterators of a run read from the same output. Leaving the loop ends the run with `abort`. */
  [Symbol.asyncIterator](): AsyncIterableIterator<GenerationChunk, undefined> {
    const iterator: AsyncIterableIterator<GenerationChunk, undefined> = {
      next: () =>
        new Promise((resolve, reject) => {
          this.#waiting.push({ resolve, reject });
          this.#serve();
        }),
      return: async () => {
        this.#leave();
        return { done: true, value: undefined };
      },
      [Symbol.asyncIterator]: () => iterator,
    };
    return iterator;
  }

  #leave(): void {
    const open = this.#state === 'open';
    this.#state = 'left';
    this.#unread.clear();
    this.#serve();
    if (open) this.#producer?.onCancel();
  }

  #takeOrThrow(): GenerationChunk | undefined {
    const chunk = this.#takeChunk();
    if (chunk === undefined && this.#state === 'failed') {
      this.#state = 'left';
      throw this.#error;
    }
    return chunk;
  }

  /** Gives waiting readers what there is. */
  #serve(): void {
    this.#onNews?.();
    while (this.#waiting.length > 0) {
      const chunk = this.#takeChunk();
      if (chunk) this.#waiting.shift()?.resolve({ done: false, value: chunk });
      else if (this.#state === 'open') return;
      else if (this.#state === 'failed') {
        this.#state = 'left';
        this.#waiting.shift()?.reject(this.#error);
      } else this.#waiting.shift()?.resolve({ done: true, value: undefined });
    }
  }

  #takeChunk(): GenerationChunk | undefined {
    const wasFull = this.full;
    const chunk = this.#unread.take(this.#state !== 'open');
    if (chunk && wasFull) this.#producer?.onDemand();
    return chunk;
  }
}

/** Reads a run as `GenerationRun.reader` says: every generation is such a run. */
export function chunkReader(run: Generation, onNews: () => void): ChunkReader {
  return (run as GenerationRun).reader(onNews);
}

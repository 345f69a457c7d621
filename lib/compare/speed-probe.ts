/**
 * Single timings through the public engine, sampling included, as `kvasir bench` has it. Each begins with a step of the
 * same model that is not timed: its weights, not the other model's, are in the caches then, as where it runs alone.
 */
import { type Model, startGeneration } from '../model.js';
import type { CacheUse } from '../engine/request.js';
import type { GenerateOptions } from '../options.js';
import type { ModelPair, Side } from './model-pair.js';

const sampling: GenerateOptions = { temperature: 0.8, topK: 40, topP: 0.95, seed: 1, ignoreEos: true };

export interface PrefillSample {
  /** ms. */
  ttft: number;
  /** Tokens per second. */
  prefill: number;
}

/** One generation of so many tokens. Throws the signal's reason. */
export async function timeGeneration(
  model: Model,
  prompt: Int32Array,
  { tokens, cache, signal }: { tokens: number; cache: CacheUse; signal: AbortSignal },
) {
  const options = { ...sampling, maxTokens: tokens, signal };
  const { timings } = await startGeneration(model, prompt, options, { cache });
  signal.throwIfAborted();
  return timings;
}

export class SpeedProbe {
  readonly #pair: ModelPair;
  readonly #signal: AbortSignal;
  /** Of what a model keeps between the slices of its decoding. */
  readonly #owner: Record<Side, object> = { a: {}, b: {} };

  constructor(pair: ModelPair, signal: AbortSignal) {
    this.#pair = pair;
    this.#signal = signal;
  }

  /** The whole prompt is computed, whatever is in the cache; `decode` may go on from it. */
  async prefill(side: Side, prompt: Int32Array): Promise<PrefillSample> {
    const model = await this.#pair.use(side);
    const signal = this.#signal;
    await timeGeneration(model, prompt.subarray(0, 1), { tokens: 1, cache: { reuse: false }, signal });
    const cache = { reuse: true, fresh: true, owner: this.#owner[side] };
    const { ttftMs, prefillTokensPerSecond } = await timeGeneration(model, prompt, {
      tokens: 1,
      cache,
      signal,
    });
    return { ttft: ttftMs, prefill: prefillTokensPerSecond };
  }

  /**
   * Tokens per second over `tokens` tokens behind the prompt. The step before them, which gives the first token, computes
   * only the prompt's last one where the rest is still there from the `prefill` or `decode` of the same prompt before.
   */
  async decode(side: Side, prompt: Int32Array, tokens: number): Promise<number> {
    const { decodeTokensPerSecond } = await timeGeneration(await this.#pair.use(side), prompt, {
      tokens: tokens + 1,
      cache: { reuse: true, owner: this.#owner[side] },
      signal: this.#signal,
    });
    return decodeTokensPerSecond;
  }
}

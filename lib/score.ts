/** How probable a model finds a text: windows over it, each scored in one pass. */
import type { Adapter } from './lora/adapter.js';
import { answerOf, type Asking } from './engine/answer-request.js';
import type { Engine } from './engine/engine.js';
import { ScoreRequest } from './engine/score-request.js';

export interface ScoreOptions {
  /** A LoRA adapter that this model has loaded. Default: none. */
  adapter?: Adapter;
  /** Aborting rejects with the signal's reason. */
  signal?: AbortSignal;
}

export interface ScoreResult {
  /** Sum of the natural logarithms of the tokens' probabilities. */
  logLikelihood: number;
  /** exp(-logLikelihood / tokens). */
  perplexity: number;
  /** Tokens that were scored: all but the first, which has nothing before it. */
  tokens: number;
}

/**
 * @param ids at least two. Where they are more than the context, windows of a whole context overlap by half: every
 * token after the first window has at least half a context before it.
 */
export async function scoreTokens(
  engine: Engine,
  ids: Int32Array,
  contextLength: number,
  asking: Pick<Asking, 'adapter' | 'signal'>,
): Promise<ScoreResult> {
  const stride = Math.max(1, Math.floor(contextLength / 2));
  let logLikelihood = 0;
  let scored = 1;
  while (scored < ids.length) {
    const end =
      scored === 1 ? Math.min(ids.length, contextLength + 1) : Math.min(ids.length, scored + stride);
    const start = Math.max(0, end - contextLength - 1);
    const logprobs = await answerOf(engine, new ScoreRequest(ids.slice(start, end), scored - start, asking));
    for (const logprob of logprobs) logLikelihood += logprob;
    scored = end;
  }
  const tokens = ids.length - 1;
  return { logLikelihood, perplexity: Math.exp(-logLikelihood / tokens), tokens };
}

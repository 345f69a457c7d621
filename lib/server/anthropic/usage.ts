/** Figures of a message. */
import type { GenerationResult } from '../../engine/run.js';

/** Tokens of the prompt that were in the cache count apart. */
export function usageBody({ promptTokens, completionTokens, cachedTokens }: GenerationResult['usage']) {
  return {
    input_tokens: promptTokens - cachedTokens,
    cache_read_input_tokens: cachedTokens,
    cache_creation_input_tokens: 0,
    output_tokens: completionTokens,
  };
}

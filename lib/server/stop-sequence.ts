/** Which stop string ended an answer. */
import type { GenerationResult } from '../engine/run.js';
import type { Tokenizer } from '../tokenizer/tokenizer.js';

/** Undefined where the end of the text, or something else, did. A stop string is not in the text, but in its tokens. */
export function stopSequenceOf(
  { tokens, finishReason }: GenerationResult,
  stops: readonly string[],
  tokenizer: Tokenizer,
): string | undefined {
  if (finishReason !== 'stop' || stops.length === 0) return undefined;
  const known = tokens.filter((id) => id < tokenizer.vocabSize);
  const spelled = tokenizer.decode(known, { skipSpecialTokens: false });
  const ends = stops
    .map((stop) => ({ stop, end: spelled.indexOf(stop) + stop.length, found: spelled.includes(stop) }))
    .filter(({ found }) => found)
    // The one that was complete first; of those, the longest.
    .sort((a, b) => a.end - b.end || b.stop.length - a.stop.length);
  return ends[0]?.stop;
}

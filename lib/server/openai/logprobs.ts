/** Log-probabilities in the shapes of chat and of plain completions. */
import type { GeneratedLogprob, TokenLogprob } from '../../generation/logprobs.js';
import type { Tokenizer } from '../../tokenizer/tokenizer.js';

/** JSON has no -Infinity; OpenAI writes -9999 for what is as good as impossible. */
export const finite = (logprob: number): number => (Number.isFinite(logprob) ? logprob : -9999);

/** Ids may lie beyond the tokenizer's own, where a model pads its vocabulary. */
function bytesOf(tokenizer: Tokenizer, id: number): number[] {
  return id < tokenizer.vocabSize ? Array.from(tokenizer.tokenBytes(id)) : [];
}

const entryOf = (tokenizer: Tokenizer, { id, text, logprob }: TokenLogprob) => ({
  token: text,
  logprob: finite(logprob),
  bytes: bytesOf(tokenizer, id),
});

/** Of /v1/chat/completions. */
export function chatLogprobs(tokenizer: Tokenizer, logprobs: readonly GeneratedLogprob[]) {
  return {
    content: logprobs.map((one) => ({
      ...entryOf(tokenizer, one),
      top_logprobs: one.top.map((other) => entryOf(tokenizer, other)),
    })),
    refusal: null,
  };
}

export interface CompletionLogprobs {
  tokens: string[];
  token_logprobs: (number | null)[];
  top_logprobs: (Record<string, number> | null)[];
  text_offset: number[];
}

/** Of /v1/completions. @param offset of the first token in the text of the answer. */
export function completionLogprobs(
  logprobs: readonly (GeneratedLogprob | { text: string; logprob: null; top: null })[],
  offset: number,
): CompletionLogprobs {
  const body: CompletionLogprobs = { tokens: [], token_logprobs: [], top_logprobs: [], text_offset: [] };
  let at = offset;
  for (const { text, logprob, top } of logprobs) {
    body.tokens.push(text);
    body.token_logprobs.push(logprob === null ? null : finite(logprob));
    body.top_logprobs.push(top && Object.fromEntries(top.map((one) => [one.text, finite(one.logprob)])));
    body.text_offset.push(at);
    at += text.length;
  }
  return body;
}

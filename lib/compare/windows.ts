/**
 * Which tokens are compared: the protocol of llama.cpp's `llama-perplexity` (tools/perplexity). A text is cut into
 * windows; each is fed alone, and only its second half is scored, so that every scored token has half a window before
 * it.
 */
import { KvasirError } from '../errors.js';
import { invalidOption } from '../options.js';
import type { Tokenizer } from '../tokenizer/tokenizer.js';

export const DEFAULT_WINDOWS = 24;
/** Tokens of a window, where the context allows so many. */
export const WINDOW_TOKENS = 512;

export interface Windows {
  /** Each [windowTokens] ids. */
  windows: Int32Array[];
  windowTokens: number;
  /** Of the whole text. */
  tokens: number;
}

/** Position of the first token after which logits are compared; the last token of a window is only a target. */
export function firstScored(windowTokens: number): number {
  return windowTokens >> 1;
}

/**
 * The first `count` windows of a text, or fewer where it is shorter. Where the tokenizer begins a text with a BOS
 * token, that takes the place of each window's first token.
 * @throws INVALID_OPTION for a text shorter than one window.
 */
export async function cutWindows(
  text: string,
  tokenizer: Tokenizer,
  settings: { count: number; windowTokens: number; signal?: AbortSignal },
): Promise<Windows> {
  const { count, windowTokens, signal } = settings;
  const frame = await tokenizer.encodeAsync('', { signal });
  const bos = frame[0] === tokenizer.bosTokenId ? tokenizer.bosTokenId : undefined;
  const plain = await tokenizer.encodeAsync(text, { addSpecialTokens: false, signal });
  const ids = bos === undefined ? plain : Int32Array.of(bos, ...plain);
  if (ids.length < windowTokens) throw tooShort(ids.length, windowTokens);
  const windows = Array.from({ length: Math.min(count, Math.floor(ids.length / windowTokens)) }, (_, i) => {
    const window = ids.slice(i * windowTokens, (i + 1) * windowTokens);
    if (bos !== undefined) window[0] = bos;
    return window;
  });
  return { windows, windowTokens, tokens: ids.length };
}

/** What can be said without a tokenizer. Throws INVALID_OPTION. */
export function checkText(text: string): void {
  if (text.trim() === '') throw invalidOption('text', 'empty', 'a text of at least one window of tokens');
  if (text.includes('\0')) throw invalidOption('text', 'binary data (it holds a NUL)', 'a text');
}

function tooShort(tokens: number, windowTokens: number): KvasirError {
  return new KvasirError(
    'INVALID_OPTION',
    `The text has ${tokens} tokens, fewer than one window of ${windowTokens}: give a longer text, or a smaller windowTokens.`,
    { details: { option: 'text', tokens, windowTokens } },
  );
}

/** What a caller may give as a prompt, checked before anything is done with it. */
import { KvasirError } from './errors.js';
import { hasLoneSurrogate, invalidOption } from './options.js';
import type { ChatMessage } from './tokenizer/tokenizer.js';

/** One message of a conversation: `role` as the model's chat template knows it ('system', 'user', 'assistant'). */
export type Message = ChatMessage;

/**
 * A text to continue, in which special tokens are parsed; a conversation, in whose contents they never are; or token
 * ids as they are.
 */
export type Prompt = string | readonly Message[] | Int32Array;

/** Throws INVALID_OPTION for what cannot be a prompt. */
export function checkPrompt(prompt: unknown): asserts prompt is Prompt {
  if (typeof prompt === 'string') {
    checkText(prompt, 'prompt');
    if (prompt !== '') return;
    throw new KvasirError(
      'INVALID_OPTION',
      'The prompt is empty: there is nothing to continue. To start from the beginning-of-text token alone, pass ' +
        'Int32Array.of(model.tokenizer.bosTokenId).',
      { details: { option: 'prompt' } },
    );
  }
  if (prompt instanceof Int32Array) {
    if (prompt.length > 0) return;
    throw invalidOption('prompt', 'empty', 'at least one token long');
  }
  if (!Array.isArray(prompt) || prompt.length === 0 || !prompt.every(isMessage)) {
    throw invalidOption(
      'prompt',
      prompt,
      'a string, an array of { role, content } or an Int32Array of token ids',
    );
  }
  for (const message of prompt) checkMessage(message);
}

/** Throws INVALID_OPTION when half a character is in a message. */
export function checkMessage({ role, content }: Message): void {
  checkText(role, 'role');
  if (typeof content === 'string') checkText(content, 'content');
  else {
    for (const part of (content ?? []) as unknown[]) {
      if (typeof part !== 'object' || part === null)
        throw invalidOption('content', part, 'a list of { type, ... }');
      checkText((part as { text?: unknown }).text ?? '', 'content');
    }
  }
}

/** Throws INVALID_OPTION for a string that has no UTF-8. */
export function checkText(text: unknown, name: string): asserts text is string {
  if (typeof text !== 'string') throw invalidOption(name, text, 'a string');
  if (!hasLoneSurrogate(text)) return;
  throw new KvasirError(
    'INVALID_OPTION',
    `The ${name} holds half a character (a lone UTF-16 surrogate); text.toWellFormed() replaces it.`,
    { details: { option: name } },
  );
}

/** Its parts are `checkMessage`'s. */
export function isMessage(value: unknown): value is Message {
  if (typeof value !== 'object' || value === null) return false;
  const { role, content } = value as { role?: unknown; content?: unknown };
  if (typeof role !== 'string') return false;
  return typeof content === 'string' || content === null || Array.isArray(content);
}

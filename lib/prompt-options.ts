/** The options of `generate` that speak of its prompt: what it goes through, what of it fits, and how its answer begins. */
import { type Adapter, adapterRule } from './lora/adapter.js';
import { KvasirError } from './errors.js';
import { callback, invalidOption, type Rule } from './given.js';
import type { ChatMessage } from './tokenizer/chat-messages.js';

/**
 * `error`: CONTEXT_OVERFLOW. `truncate-middle`: the middle of the prompt is cut out, of a conversation that of its oldest
 * messages. `drop-turns`: the oldest turns are left out of the prompt, never the system messages nor the last turn. A function
 * gets a copy of the messages of the prompt and gives those to take in their place.
 */
export type Overflow =
  | 'error'
  | 'truncate-middle'
  | 'drop-turns'
  | ((messages: ChatMessage[]) => readonly ChatMessage[] | Promise<readonly ChatMessage[]>);

export interface PromptOptions {
  /** A LoRA adapter that this model has loaded. Default: none. */
  adapter?: Adapter;
  /** When the prompt, with room for its answer, no longer fits the context. A session has its own. Default 'error'. */
  overflow?: Overflow;
  /**
   * What the answer begins with, of a conversation: it follows the generation prompt, in which special tokens are parsed, and
   * is part of the result's text. Default: nothing.
   */
  answerPrefix?: string;
}

export const overflowRule: Rule = {
  fits: (v) => v === 'error' || v === 'truncate-middle' || v === 'drop-turns' || callback.fits(v),
  allowed: "'error', 'truncate-middle', 'drop-turns' or a function from messages to messages",
};

export const promptRules = {
  adapter: adapterRule,
  overflow: overflowRule,
  answerPrefix: {
    fits: (v) => typeof v === 'string' && v.isWellFormed(),
    allowed: 'a well-formed string',
  },
} satisfies Record<keyof PromptOptions, Rule>;

interface Steered {
  toolChoice: unknown;
  reasoning?: { budget?: number };
}

/** Throws INVALID_OPTION for options that need another prompt, or do not go together. */
export function checkPromptOptions(
  prompt: unknown,
  { overflow, answerPrefix }: PromptOptions,
  { toolChoice, reasoning }: Steered,
  isSession: boolean,
): void {
  const isText = typeof prompt === 'string' || prompt instanceof Int32Array;
  if (isSession && overflow !== undefined)
    throw invalidOption('overflow', overflow, 'left out: it is an option of createSession');
  if (isText && (overflow === 'drop-turns' || typeof overflow === 'function'))
    throw invalidOption(
      'overflow',
      overflow,
      "'error' or 'truncate-middle' for a prompt that is no conversation",
    );
  if (answerPrefix === undefined) return;
  if (isText) {
    throw new KvasirError(
      'INVALID_OPTION',
      'answerPrefix needs a conversation: of a text, write it at the end of the prompt.',
      { details: { option: 'answerPrefix' } },
    );
  }
  const isForced = toolChoice === 'required' || typeof toolChoice === 'object';
  if (isForced || reasoning?.budget !== undefined)
    throw invalidOption(
      'answerPrefix',
      answerPrefix,
      'left out where toolChoice or a budget of reasoning steers the answer',
    );
}

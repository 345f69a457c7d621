/** What a caller may give as a prompt: checked, and copied, before anything is done with it. */
import { KvasirError } from './errors.js';
import { copyIds, invalidOption, reading } from './given.js';
import { hasLoneSurrogate } from './options.js';
import { type ChatMessage, checkMessages, checkMessagesInTurns } from './tokenizer/chat-messages.js';

/** One message of a conversation: `role` as the model's chat template knows it ('system', 'user', 'assistant'). */
export type Message = ChatMessage;

/**
 * A text to continue, in which special tokens are parsed; a conversation, in whose contents they never are; or token
 * ids as they are.
 */
export type Prompt = string | readonly Message[] | Int32Array;

/** Messages that are copied at the call; of longer conversations the rest is copied in the turns that follow. */
const messagesAtOnce = 500;

/** A conversation that is so long that reading all of it would hold up the event loop. */
export class LongConversation {
  readonly #messages: Promise<Message[]>;

  constructor(messages: readonly unknown[]) {
    this.#messages = checkMessagesInTurns(messages, undefined, checkTexts);
    // Whoever reads it gets the rejection.
    this.#messages.catch(() => {});
  }

  /** Rejects with INVALID_OPTION. */
  read(): Promise<Message[]> {
    return this.#messages;
  }
}

/** As `readPrompt`, for prompts of any length. */
export function readAnyPrompt(prompt: unknown): ReturnType<typeof readPrompt> | LongConversation {
  const isLong = reading('The prompt', () => Array.isArray(prompt) && prompt.length > messagesAtOnce);
  return isLong ? new LongConversation(prompt as unknown[]) : readPrompt(prompt);
}

/** A copy that the caller cannot change. Throws INVALID_OPTION for what cannot be a prompt. */
export function readPrompt(prompt: unknown): string | Message[] | Int32Array {
  if (typeof prompt === 'string') return readTextPrompt(prompt);
  return reading('The prompt', () => {
    const ids = copyIds(prompt);
    if (ids !== undefined) {
      if (ids.length > 0) return ids;
      throw invalidOption('prompt', 'empty', 'at least one token long');
    }
    if (!Array.isArray(prompt) || prompt.length === 0) {
      const allowed = 'a string, an array of { role, content } or an Int32Array of token ids';
      throw invalidOption('prompt', prompt, allowed);
    }
    return readMessages(prompt);
  });
}

/** As `readPrompt`, for what takes conversations alone. */
export function readConversation(messages: unknown): Message[] {
  const read = readPrompt(messages);
  if (Array.isArray(read)) return read;
  throw invalidOption('messages', messages, 'an array of { role, content }');
}

function readTextPrompt(prompt: string): string {
  checkText(prompt, 'prompt');
  if (prompt !== '') return prompt;
  throw new KvasirError(
    'INVALID_OPTION',
    'The prompt is empty: there is nothing to continue. To start from the beginning-of-text token alone, pass ' +
      'Int32Array.of(model.tokenizer.bosTokenId).',
    { details: { option: 'prompt' } },
  );
}

/** A text, or a copy of token ids. Throws INVALID_OPTION. */
export function readText(text: unknown, name: string): string | Int32Array {
  const ids = reading(`The ${name}`, () => copyIds(text));
  if (ids !== undefined) return ids;
  checkText(text, name);
  return text;
}

/** A copy of one text or a list of them. Throws INVALID_OPTION. */
export function readTexts(texts: unknown, name: string): string[] {
  if (typeof texts === 'string') return readTexts([texts], name);
  return reading(`The ${name}`, () => {
    if (!Array.isArray(texts)) throw invalidOption(name, texts, 'a string or an array of strings');
    const copy: string[] = [];
    // The first hole ends it, however long the list says to be.
    for (let i = 0; i < texts.length; ++i) {
      const text: unknown = texts[i];
      // Names are made for those alone that are wrong: there may be a hundred thousand texts.
      if (typeof text !== 'string' || hasLoneSurrogate(text)) checkText(text, `${name}[${i}]`);
      copy.push(text as string);
    }
    return copy;
  });
}

/** Copies. Throws INVALID_OPTION for what is no message, or holds half a character. */
export function readMessages(messages: unknown): Message[] {
  const copies = checkMessages(messages);
  for (const message of copies) checkTexts(message);
  return copies;
}

function checkTexts(message: Message): void {
  if (message.content === undefined && !Array.isArray(message.tool_calls))
    throw invalidOption('messages', message, 'an array of { role, content }');
  checkText(message.role, 'role');
  for (const part of textsIn(message.content)) checkText(part, 'content');
}

function textsIn(content: Message['content'] | undefined): string[] {
  if (typeof content === 'string') return [content];
  return (content ?? []).flatMap(({ text }) => (typeof text === 'string' ? [text] : []));
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

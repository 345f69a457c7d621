/** Messages as callers give them: checked, and copied as plain data that can cross to another thread. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { KvasirError } from '../errors.js';
import { boolean, parseOptions, plainData, type Rule, reading, text } from '../given.js';

/** One message of a conversation, as chat templates read it. */
export interface ChatMessage {
  role: string;
  content: string | null | { type: string; text?: string }[];
  [field: string]: unknown;
}

export interface ChatTemplateOptions {
  /** JSON-schema tool definitions, handed to the template as `tools`. */
  tools?: readonly unknown[];
  /** Documents to answer from, handed to the template as `documents`: objects, usually of `title` and `text`. */
  documents?: readonly Record<string, unknown>[];
  /** Name of one of the model's chat templates. Default: 'tool_use' where there are tools and it has that one, else 'default'. */
  template?: string;
  /** Open the assistant's turn at the end. Default true. */
  addGenerationPrompt?: boolean;
  /** What else the template knows, by name: `{ enable_thinking: false }`. */
  variables?: Record<string, unknown>;
}

function wrong(problem: string): KvasirError {
  return new KvasirError('INVALID_OPTION', `${problem}.`);
}

/** Conversations that are copies already: nobody outside has them. */
const copies = new WeakSet<readonly ChatMessage[]>();

/** Plain data, copied once. Throws INVALID_OPTION for what no template could read. */
export function checkMessages(messages: unknown): ChatMessage[] {
  return reading('messages', () => {
    if (!Array.isArray(messages)) throw wrong('messages: a list of { role, content } is needed');
    if (copies.has(messages)) return messages;
    if (messages.length === 0) throw wrong('messages: at least one is needed');
    const checked = (plainData(messages, 'messages') as unknown[]).map(checkMessage);
    copies.add(checked);
    return checked;
  });
}

/** What is copied before the event loop gets a turn, in milliseconds. */
const turnMs = 2;

/**
 * The same for a conversation of any length, which does not hold up the event loop: its first messages are copied at the call,
 * all of a usual one; those of a very long one in the turns that follow. Rejects with the signal's reason too.
 */
export async function checkMessagesInTurns(
  messages: unknown,
  signal?: AbortSignal,
  alsoCheck?: (message: ChatMessage) => void,
): Promise<ChatMessage[]> {
  signal?.throwIfAborted();
  const given = reading('messages', () => {
    if (!Array.isArray(messages)) throw wrong('messages: a list of { role, content } is needed');
    return copies.has(messages) ? messages : messages.slice();
  });
  if (copies.has(given)) return given;
  if (given.length === 0) throw wrong('messages: at least one is needed');
  const checked: ChatMessage[] = [];
  let began = performance.now();
  for (let i = 0; i < given.length; ++i) {
    if (!(i in given)) throw wrong(`messages: entry ${i} is missing`);
    const message = checkMessage(plainData(given[i], `messages: entry ${i}`), i);
    alsoCheck?.(message);
    checked.push(message);
    if (i % 16 !== 15 || performance.now() - began < turnMs) continue;
    await nextTurn();
    signal?.throwIfAborted();
    began = performance.now();
  }
  copies.add(checked);
  return checked;
}

/** UTF-16 units of the content. */
export function unitsOf({ content }: ChatMessage): number {
  if (typeof content === 'string') return content.length;
  let units = 0;
  for (const { text } of content ?? []) units += typeof text === 'string' ? text.length : 0;
  return units;
}

function checkMessage(plain: unknown, i: number): ChatMessage {
  if (typeof plain !== 'object' || plain === null) throw wrong(`messages: entry ${i} is no object`);
  const message = plain as Partial<ChatMessage>;
  if (typeof message.role !== 'string' || message.role === '')
    throw wrong(`messages: entry ${i} has no role`);
  checkContent(message.content, i);
  return message as ChatMessage;
}

function checkContent(content: unknown, index: number): void {
  if (content === undefined || content === null || typeof content === 'string') return;
  const isPart = (part: unknown): boolean =>
    typeof part === 'object' && part !== null && typeof (part as { type?: unknown }).type === 'string';
  if (Array.isArray(content) && content.every(isPart)) return;
  throw wrong(`messages: the content of entry ${index} must be a string, a list of { type, ... }, or null`);
}

const isRecord = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Of `applyChatTemplate` and its kin. Tools, documents and variables are copies. */
export const templateRules = {
  tools: {
    copy: (v) => (Array.isArray(v) ? plainData(v, 'tools') : v),
    fits: Array.isArray,
    allowed: 'a list: tools are an array of definitions',
  },
  documents: {
    copy: (v) => (Array.isArray(v) ? plainData(v, 'documents') : v),
    fits: (v) => Array.isArray(v) && v.every(isRecord),
    allowed: 'a list of objects',
  },
  template: text,
  addGenerationPrompt: boolean,
  variables: {
    copy: (v) => (typeof v === 'object' && v !== null && isRecord(v) ? plainData(v, 'variables') : v),
    fits: isRecord,
    allowed: 'an object',
  },
} satisfies Record<keyof ChatTemplateOptions, Rule>;

/** Throws INVALID_OPTION. */
export function checkTemplateOptions(options: unknown): ChatTemplateOptions {
  return parseOptions(templateRules, options, 'applyChatTemplate') as ChatTemplateOptions;
}

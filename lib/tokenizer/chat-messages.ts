/** Messages as callers give them: checked, and copied as plain data that can cross to another thread. */
import { KvasirError } from '../errors.js';

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

const optionNames = ['tools', 'documents', 'template', 'addGenerationPrompt', 'variables'];
const deepest = 100;

function wrong(problem: string): KvasirError {
  return new KvasirError('INVALID_OPTION', `${problem}.`);
}

/** Plain data, copied. Throws INVALID_OPTION for what JSON has no form for. */
function plainData(data: unknown, where: string, depth = 0): unknown {
  if (depth > deepest) throw wrong(`${where} is nested more than ${deepest} deep, or holds itself`);
  if (typeof data === 'function' || typeof data === 'symbol') {
    throw wrong(`${where} holds a ${typeof data}, which no template can read`);
  }
  if (typeof data !== 'object' || data === null) return data;
  if ('toJSON' in data && typeof data.toJSON === 'function') {
    return plainData(data.toJSON(), where, depth + 1);
  }
  if (Array.isArray(data)) return data.map((item) => plainData(item, where, depth + 1));
  const entries = Object.entries(data).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries.map(([key, value]) => [key, plainData(value, where, depth + 1)]));
}

/** Throws INVALID_OPTION for what no template could read. */
export function checkMessages(messages: readonly ChatMessage[]): ChatMessage[] {
  if (!Array.isArray(messages)) throw wrong('messages: a list of { role, content } is needed');
  if (messages.length === 0) throw wrong('messages: at least one is needed');
  return messages.map((message: unknown, i) => {
    const where = `messages: entry ${i}`;
    if (typeof message !== 'object' || message === null) throw wrong(`${where} is no object`);
    const plain = plainData(message, where) as Partial<ChatMessage>;
    if (typeof plain.role !== 'string' || plain.role === '') throw wrong(`${where} has no role`);
    checkContent(plain.content, i);
    return plain as ChatMessage;
  });
}

function checkContent(content: unknown, index: number): void {
  if (content === undefined || content === null || typeof content === 'string') return;
  const isPart = (part: unknown): boolean =>
    typeof part === 'object' && part !== null && typeof (part as { type?: unknown }).type === 'string';
  if (Array.isArray(content) && content.every(isPart)) return;
  throw wrong(`messages: the content of entry ${index} must be a string, a list of { type, ... }, or null`);
}

/** Throws INVALID_OPTION. */
export function checkTemplateOptions(options: ChatTemplateOptions): ChatTemplateOptions {
  if (typeof options !== 'object' || options === null) throw wrong('the options of a chat must be an object');
  const unknown = Object.keys(options).find((name) => !optionNames.includes(name));
  if (unknown !== undefined) throw wrong(`${unknown}: a chat template takes ${optionNames.join(', ')}`);
  const { tools, documents, template, addGenerationPrompt, variables } = options;
  if (tools !== undefined && !Array.isArray(tools)) throw wrong('tools: a list is needed');
  if (documents !== undefined && !(Array.isArray(documents) && documents.every(isRecord))) {
    throw wrong('documents: a list of objects is needed');
  }
  if (template !== undefined && typeof template !== 'string') throw wrong('template: a name is needed');
  if (addGenerationPrompt !== undefined && typeof addGenerationPrompt !== 'boolean') {
    throw wrong('addGenerationPrompt: true or false is needed');
  }
  if (variables !== undefined && !isRecord(variables)) throw wrong('variables: an object is needed');
  return plainData(options, 'the options of a chat') as ChatTemplateOptions;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

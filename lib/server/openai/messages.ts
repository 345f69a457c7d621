/** Messages of a chat as OpenAI's protocol has them, to those that a chat template reads. */
import * as v from 'valibot';
import type { Message } from '../../prompt.js';
import { invalid } from '../failure.js';

const part = v.looseObject({ type: v.string() });
const toolCall = v.looseObject({
  id: v.optional(v.string()),
  type: v.optional(v.literal('function')),
  function: v.looseObject({ name: v.string(), arguments: v.string() }),
});

export const messageSchema = v.strictObject({
  role: v.picklist(['system', 'developer', 'user', 'assistant', 'tool']),
  content: v.optional(v.nullable(v.union([v.string(), v.array(part)]))),
  name: v.optional(v.nullable(v.string())),
  tool_calls: v.optional(v.nullable(v.array(toolCall))),
  tool_call_id: v.optional(v.nullable(v.string())),
  reasoning_content: v.optional(v.nullable(v.string())),
  refusal: v.optional(v.nullable(v.string())),
  annotations: v.optional(v.nullable(v.array(v.unknown()))),
  audio: v.optional(v.null()),
  function_call: v.optional(v.null()),
});

export type MessageBody = v.InferOutput<typeof messageSchema>;

/** Throws a Failure that names the message. */
export function chatMessages(messages: readonly MessageBody[]): Message[] {
  return messages.map((message, i) => messageOf(message, `messages[${i}]`));
}

function messageOf(body: MessageBody, where: string): Message {
  const { role, content, name, tool_calls, tool_call_id, reasoning_content } = body;
  const calls = tool_calls ?? [];
  if (content === undefined || content === null) {
    if (role !== 'assistant' || calls.length === 0) {
      throw invalid('The content is missing.', `${where}.content`, 'invalid_value');
    }
  }
  const message: Message = {
    // Templates know the older name.
    role: role === 'developer' ? 'system' : role,
    content: contentOf(content ?? '', `${where}.content`),
  };
  if (typeof name === 'string') message.name = name;
  if (typeof tool_call_id === 'string') message.tool_call_id = tool_call_id;
  if (typeof reasoning_content === 'string') message.reasoning_content = reasoning_content;
  if (calls.length > 0) message.tool_calls = calls.map(({ id, function: one }) => callOf(id, one));
  return message;
}

/** Parts become one text, a line end between them, as chat templates that know texts alone have them. */
function contentOf(content: NonNullable<MessageBody['content']>, where: string): string {
  if (typeof content === 'string') return content;
  return content.map((one, i) => textOf(one, `${where}[${i}]`)).join('\n');
}

function textOf(one: v.InferOutput<typeof part>, where: string): string {
  const { type, text, refusal } = one as { type: string; text?: unknown; refusal?: unknown };
  if ((type === 'text' || type === 'input_text' || type === 'output_text') && typeof text === 'string') {
    return text;
  }
  if (type === 'refusal' && typeof refusal === 'string') return refusal;
  throw notText(type, where);
}

/** For images, audio, files, and what is no part at all. */
export function notText(type: string, where: string) {
  const shown = type.slice(0, 40);
  return invalid(`A part of type '${shown}' is no text, and the model takes text only.`, where, 'text_only');
}

/** The arguments stay JSON: each template gets the form that it takes. */
function callOf(id: string | undefined, { name, arguments: given }: { name: string; arguments: string }) {
  return { id, type: 'function', function: { name, arguments: given } };
}

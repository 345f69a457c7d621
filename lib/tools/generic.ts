/**
 * A format of our own for models whose chat template tells no tools: definitions and instructions in the system message,
 * calls and results between the tags that most families know. Messages of calls and results become plain ones.
 */
import { jsonBlocks } from '../output/formats/json-blocks.js';
import type { ChatMessage } from '../tokenizer/chat-messages.js';
import type { FunctionTool } from './definitions.js';

/** As Hermes writes them, whether or not the tags are tokens of the vocabulary. */
export const genericFormat = jsonBlocks({
  open: ['<tool_call>'],
  close: ['</tool_call>'],
  call: ['{"name": "', 'name', '", "arguments": ', 'arguments', 'space', '}'],
  alsoSpelled: true,
});

function instructions(tools: readonly FunctionTool[]): string {
  const lines = tools.map((tool) => JSON.stringify(tool.function));
  return [
    '# Tools',
    '',
    'You can call functions. Each line is the definition of one, as JSON:',
    '<tools>',
    ...lines,
    '</tools>',
    '',
    'To call one, write its name and its arguments as JSON between these tags; write several pairs of tags for several calls:',
    '<tool_call>',
    '{"name": "<name of the function>", "arguments": {"<name of an argument>": "<its value>"}}',
    '</tool_call>',
    'The results come back between <tool_response> tags. Call functions only where they help; else answer in plain text.',
  ].join('\n');
}

/** Where the tools are told. */
export type Place = 'system' | 'user';

/** The conversation without roles and fields that a template without tools does not know. */
export function genericMessages(
  messages: readonly ChatMessage[],
  tools: readonly FunctionTool[],
  place: Place,
): ChatMessage[] {
  const plain: ChatMessage[] = [];
  for (const message of messages) {
    const one = plainMessage(message);
    const last = plain.at(-1);
    // Results of one round are one message: most templates want turns to alternate.
    if (message.role === 'tool' && last?.isResult === true) last.content = `${last.content}\n${one.content}`;
    else plain.push(message.role === 'tool' ? { ...one, isResult: true } : one);
  }
  const whole = tools.length === 0 ? plain : withInstructions(plain, instructions(tools), place);
  return whole.map(({ isResult: _, ...message }) => message as ChatMessage);
}

function withInstructions(messages: ChatMessage[], text: string, place: Place): ChatMessage[] {
  const at = messages.findIndex(({ role }) => role === place);
  if (at < 0) return [{ role: place, content: text }, ...messages];
  return messages.map((message, i) => (i === at ? joined(message, text, place) : message));
}

function joined(message: ChatMessage, text: string, place: Place): ChatMessage {
  const { content } = message;
  const isFirst = place === 'user';
  if (Array.isArray(content)) {
    const part = { type: 'text', text };
    return { ...message, content: isFirst ? [part, ...content] : [...content, part] };
  }
  const both = isFirst ? [text, content ?? ''] : [content ?? '', text];
  return { ...message, content: both.join('\n\n') };
}

function plainMessage(message: ChatMessage): ChatMessage {
  if (message.role === 'tool') {
    return { role: 'user', content: `<tool_response>\n${textOf(message.content)}\n</tool_response>` };
  }
  const { tool_calls: calls, ...rest } = message;
  if (!Array.isArray(calls) || calls.length === 0) return message;
  const written = calls.map((call) => `<tool_call>\n${callText(call)}\n</tool_call>`);
  const text = textOf(rest.content);
  return { ...rest, content: [...(text === '' ? [] : [text]), ...written].join('\n') };
}

function textOf(content: ChatMessage['content'] | undefined): string {
  if (typeof content === 'string') return content;
  return (content ?? []).map(({ text }) => text ?? '').join('\n');
}

/** Fields that are no function's are told as they are. */
function callText(call: unknown): string {
  const { function: called } = call as { function?: { name?: unknown; arguments?: unknown } };
  if (called === undefined) return JSON.stringify(call);
  const { name, arguments: given } = called;
  const args = typeof given === 'string' ? given : JSON.stringify(given ?? {});
  return `{"name": ${JSON.stringify(name)}, "arguments": ${args}}`;
}

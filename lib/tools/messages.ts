/** Messages of calls and their results, as they stand in a conversation. */
import type { GenerationResult } from '../engine/run.js';
import type { CallWriter, WrittenCall } from '../output/format.js';
import type { ChatMessage } from '../tokenizer/chat-messages.js';

/** An answer as a message of the conversation: text, thoughts and calls. */
export function assistantMessage({
  text,
  reasoning,
  toolCalls = [],
}: Pick<GenerationResult, 'text' | 'reasoning' | 'toolCalls'>): ChatMessage {
  const message: ChatMessage = { role: 'assistant', content: text };
  if (reasoning) message.reasoning_content = reasoning;
  if (toolCalls.length > 0) {
    // Damaged arguments are {}: most templates take nothing but an object.
    message.tool_calls = toolCalls.map(({ id, name, arguments: given }) => ({
      id,
      type: 'function',
      function: { name, arguments: given },
    }));
  }
  return message;
}

/** What a tool gave, for the model. */
export function toolMessage({ id, name }: { id: string; name: string }, content: string): ChatMessage {
  return { role: 'tool', tool_call_id: id, name, content };
}

/** Calls of earlier turns in the text of their messages, for a template that would leave them out. */
export function withWrittenCalls(messages: readonly ChatMessage[], written: CallWriter): ChatMessage[] {
  return messages.map((message) => {
    const { tool_calls: calls, ...rest } = message;
    if (!Array.isArray(calls) || calls.length === 0) return message;
    const text = typeof rest.content === 'string' ? rest.content : '';
    return { ...rest, content: text + written(calls.map(callOf)) };
  });
}

function callOf(call: unknown): WrittenCall {
  const { function: inner = call } = call as { function?: unknown };
  const { name, arguments: given } = inner as { name: unknown; arguments: unknown };
  return { name: String(name), arguments: argumentsOf(given) };
}

/** Of JSON or an object; {} where they are neither. */
function argumentsOf(given: unknown): Record<string, unknown> {
  let value = given;
  try {
    if (typeof given === 'string') value = JSON.parse(given);
  } catch {
    return {};
  }
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

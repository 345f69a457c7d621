/** Messages of calls and their results, as they stand in a conversation. */
import type { GenerationResult } from '../engine/run.js';
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

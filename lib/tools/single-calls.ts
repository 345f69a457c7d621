/** Turns for templates that know one call in a message: others refuse several, or leave out all but the first. */
import type { ChatMessage } from '../tokenizer/chat-messages.js';

/** It looks at the first call alone. */
export function takesOneCall(template: string): boolean {
  return template.includes('tool_calls[0]') && !/for \w+ in \w+(\.|\[')tool_calls/.test(template);
}

/** Each call in a message of its own, its result behind it. */
export function withSingleCalls(messages: readonly ChatMessage[]): ChatMessage[] {
  const single: ChatMessage[] = [];
  const placed = new Set<ChatMessage>();
  messages.forEach((message, i) => {
    if (placed.has(message)) return;
    const { tool_calls: calls } = message;
    if (!Array.isArray(calls) || calls.length < 2) {
      single.push(message);
      return;
    }
    const results = resultsBehind(messages, i);
    calls.forEach((call: unknown, k) => {
      // Text and thoughts came before the first call.
      const { reasoning_content: _, ...later }: ChatMessage = { ...message, content: '' };
      single.push({ ...(k === 0 ? message : later), tool_calls: [call] });
      const { id } = (call ?? {}) as { id?: unknown };
      const result = results.find((one) => !placed.has(one) && one.tool_call_id === id) ?? results[k];
      if (result === undefined || placed.has(result)) return;
      placed.add(result);
      single.push(result);
    });
  });
  return single;
}

function resultsBehind(messages: readonly ChatMessage[], at: number): ChatMessage[] {
  const results: ChatMessage[] = [];
  for (let i = at + 1; messages[i]?.role === 'tool'; ++i) results.push(messages[i]);
  return results;
}

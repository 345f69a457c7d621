/**
 * Arguments of calls as a chat template wants them: most take an object (`| tojson`, a loop over its items), OpenAI's API
 * has JSON as a string, and some templates print a string as it is. Either may be given for any template.
 */
import { Text } from '../templates/text.js';
import { Dict, List } from '../templates/values.js';
import type { ChatMessage } from './chat-messages.js';

export function hasCalls({ tool_calls: calls }: ChatMessage): boolean {
  return Array.isArray(calls) && calls.length > 0;
}

/** The template asks whether the arguments are a string: it takes either form. */
const takesBoth = /arg\w*['"\]]*\s+is\s+(not\s+)?string/;

/** With objects where the template may want them; what is no JSON object stays a string. */
export function withObjects(messages: readonly ChatMessage[], template: string): readonly ChatMessage[] {
  if (takesBoth.test(template)) return messages;
  return withArguments(messages, (given) => {
    if (typeof given !== 'string') return given;
    try {
      const parsed: unknown = JSON.parse(given);
      return typeof parsed === 'object' && parsed !== null ? parsed : given;
    } catch {
      return given;
    }
  });
}

/** With strings: JSON as Python writes it. */
export function withTexts(messages: readonly ChatMessage[]): readonly ChatMessage[] {
  return withArguments(messages, (given) => (typeof given === 'string' ? given : spaced(given ?? {})));
}

function withArguments(
  messages: readonly ChatMessage[],
  change: (given: unknown) => unknown,
): readonly ChatMessage[] {
  return messages.map((message) => {
    if (!hasCalls(message)) return message;
    const calls = (message.tool_calls as unknown[]).map((call) => changed(call, change));
    return { ...message, tool_calls: calls };
  });
}

function changed(call: unknown, change: (given: unknown) => unknown): unknown {
  if (typeof call !== 'object' || call === null) return call;
  const { function: inner, arguments: given } = call as { function?: unknown; arguments?: unknown };
  if (typeof inner === 'object' && inner !== null) return { ...call, function: changed(inner, change) };
  return given === undefined ? call : { ...call, arguments: change(given) };
}

function spaced(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(spaced).join(', ')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const members = Object.entries(value).map(([name, item]) => `${JSON.stringify(name)}: ${spaced(item)}`);
  return `{${members.join(', ')}}`;
}

/** Has the arguments refuse to be printed as Python would print them. */
export function guardArguments(messages: readonly Dict[]): void {
  for (const message of messages) {
    const calls = message.get(Text.of('tool_calls'));
    for (const call of calls instanceof List ? calls.items : []) {
      if (!(call instanceof Dict)) continue;
      const inner = call.get(Text.of('function'));
      const given = (inner instanceof Dict ? inner : call).get(Text.of('arguments'));
      if (given instanceof Dict) given.isArguments = true;
    }
    // The template has looked at nothing yet.
    message.reads = new Set();
  }
}

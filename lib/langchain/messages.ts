/** Messages of LangChain, to those that a chat template reads. Text only: other blocks are refused by name. */
import type { AIMessage, BaseMessage, ToolMessage } from '@langchain/core/messages';
import { KvasirError } from '../errors.js';
import type { Message } from '../prompt.js';

/** Throws INVALID_OPTION with the place of what is no text. */
export function messagesOf(messages: readonly BaseMessage[]): Message[] {
  /** Names of the tools that were called, by the id of the call. */
  const called = new Map<string, string>();
  return messages.map((message, i) => {
    const where = `messages[${i}]`;
    switch (message.type) {
      case 'ai':
        return answerOf(message as AIMessage, where, called);
      case 'tool':
        return resultOf(message as ToolMessage, where, called);
      case 'human':
        return { role: 'user', content: textOf(message.content, where) };
      case 'system':
      case 'developer':
        return { role: 'system', content: textOf(message.content, where) };
      case 'generic':
        return {
          role: (message as BaseMessage & { role: string }).role,
          content: textOf(message.content, where),
        };
      default:
        throw wrong(where, `a message of type '${message.type}' is not known here`);
    }
  });
}

function answerOf(message: AIMessage, where: string, called: Map<string, string>): Message {
  const answer: Message = { role: 'assistant', content: textOf(message.content, where) };
  const thoughts = thoughtsOf(message);
  if (thoughts !== '') answer.reasoning_content = thoughts;
  const { tool_calls: calls = [] } = message;
  if (calls.length > 0) {
    answer.tool_calls = calls.map(({ id, name, args }) => ({
      id,
      type: 'function',
      function: { name, arguments: args },
    }));
  }
  for (const { id, name } of calls) if (id !== undefined) called.set(id, name);
  return answer;
}

function resultOf(message: ToolMessage, where: string, called: ReadonlyMap<string, string>): Message {
  const { tool_call_id, name = called.get(tool_call_id) } = message;
  return { role: 'tool', tool_call_id, ...(name && { name }), content: textOf(message.content, where) };
}

/** As blocks, or where other providers put them. */
function thoughtsOf({ content, additional_kwargs: { reasoning_content: older } }: AIMessage): string {
  const blocks = typeof content === 'string' ? [] : (content as readonly Block[]);
  const thoughts = blocks.flatMap(({ type, reasoning }) =>
    type === 'reasoning' && typeof reasoning === 'string' ? [reasoning] : [],
  );
  return thoughts.length > 0 ? thoughts.join('') : typeof older === 'string' ? older : '';
}

interface Block {
  type?: unknown;
  text?: unknown;
  reasoning?: unknown;
}

/** Of an answer: told apart from its text. */
const apart = ['reasoning', 'tool_call', 'tool_call_chunk', 'invalid_tool_call'];

function textOf(content: BaseMessage['content'], where: string): string {
  if (typeof content === 'string') return content;
  const texts = (content as readonly Block[]).flatMap(({ type, text }, i) => {
    if ((type === 'text' || type === 'text-plain') && typeof text === 'string') return [text];
    if (apart.includes(type as string)) return [];
    throw wrong(
      `${where}.content[${i}]`,
      `a block of type '${String(type)}' is no text, and the model takes text only`,
    );
  });
  return texts.join('\n');
}

function wrong(where: string, what: string): KvasirError {
  return new KvasirError('INVALID_OPTION', `${where}: ${what}.`, { details: { option: where } });
}

/** Contents in parts, as OpenAI's API has them: `[{ type: 'text', text: '...' }]`. */
import { KvasirError } from '../errors.js';
import type { ChatMessage } from './chat-messages.js';

export function hasParts({ content }: ChatMessage): boolean {
  return Array.isArray(content);
}

/** The parts as one string, a line end between them. Throws INVALID_OPTION for parts that are no text. */
export function flattenParts(message: ChatMessage): ChatMessage {
  const { content } = message;
  if (!Array.isArray(content)) return message;
  const texts = content.map(({ type, text }) => {
    if (type === 'text' && typeof text === 'string') return text;
    throw new KvasirError(
      'INVALID_OPTION',
      `The model's chat template takes text only: it knows no part of type '${type}'.`,
    );
  });
  return { ...message, content: texts.join('\n') };
}

/** What the message says, without white space around it. */
export function textsOf({ content }: ChatMessage): string[] {
  const texts =
    typeof content === 'string'
      ? [content]
      : (content ?? []).map(({ text }) => (typeof text === 'string' ? text : ''));
  return texts.map((text) => text.trim()).filter((text) => text !== '');
}

/** The same message, saying something else. */
export function withOtherText(message: ChatMessage): ChatMessage {
  const { content } = message;
  if (typeof content === 'string') return { ...message, content: `${content}.` };
  const parts = (content ?? []).map((part) =>
    typeof part.text === 'string' ? { ...part, text: `${part.text}.` } : part,
  );
  return { ...message, content: parts };
}

/**
 * Answers that the conversation has begun already: its last message is the assistant's, the model goes on from there, and what
 * is told is what comes behind it.
 */
import type { GenerationChunk, GenerationResult } from '../engine/run.js';
import type { Message } from '../prompt.js';
import { invalid } from './failure.js';

export interface BegunConversation {
  messages: readonly Message[];
  /** '': nothing. */
  begun: string;
}

/** Throws a Failure for a beginning that is more than text, or that nothing stands before. */
export function begunConversation(messages: readonly Message[]): BegunConversation {
  const last = messages.at(-1);
  if (last?.role !== 'assistant') return { messages, begun: '' };
  const { content, tool_calls, reasoning_content } = last;
  if (messages.length === 1 || tool_calls !== undefined || reasoning_content !== undefined) {
    throw invalid(
      'The last message begins the answer: it must be text alone, and behind another message.',
      'messages',
      'unsupported_value',
    );
  }
  return { messages: messages.slice(0, -1), begun: typeof content === 'string' ? content : '' };
}

/** Takes from the chunks of one answer what it was begun with. */
export class Beginning {
  #left: string;

  constructor(begun: string) {
    this.#left = begun;
  }

  cut(chunk: GenerationChunk): GenerationChunk {
    if (this.#left === '' || chunk.type === 'tool-call') return chunk;
    const length = Math.min(chunk.text.length, this.#left.length);
    // White space at its end may have gone with a call.
    const isBegun = chunk.text.startsWith(this.#left.slice(0, length));
    this.#left = isBegun ? this.#left.slice(length) : '';
    return isBegun ? { ...chunk, text: chunk.text.slice(length) } : chunk;
  }
}

/** A whole answer without what it was begun with, which is thought where the template opens a thought. */
export function withoutBeginning(result: GenerationResult, begun: string): GenerationResult {
  const { text, reasoning } = result;
  if (begun === '') return result;
  if (text.startsWith(begun)) return { ...result, text: text.slice(begun.length) };
  return reasoning?.startsWith(begun) ? { ...result, reasoning: reasoning.slice(begun.length) } : result;
}

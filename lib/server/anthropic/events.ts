/** The events of a streamed message: blocks one after the other, each opened, filled and closed. */
import type { GenerationChunk, GenerationResult, PromptUsage } from '../../engine/run.js';
import { namedEvent } from '../protocol.js';
import type { EventWriter, RunPart } from '../run-events.js';
import { usageBody } from './usage.js';

export interface MessageTask {
  head: object;
  /** What the last event tells. */
  endOf(result: GenerationResult): { delta: object; usage: object };
  /** Thoughts are told. */
  showsThoughts: boolean;
}

const event = (type: string, fields: object): string => namedEvent(type, { type, ...fields });

const noUsage: PromptUsage = { promptTokens: 0, cachedTokens: 0 };

export class MessageEvents implements EventWriter {
  readonly #blocks = new Blocks();
  #isBegun = false;

  constructor(private readonly task: MessageTask) {}

  part(part: RunPart): string {
    const { endOf, showsThoughts } = this.task;
    const { chunk, result } = part;
    const start = this.#begin(chunk === undefined ? result.usage : part.prompt);
    if (chunk === undefined) return start + this.#blocks.end() + event('message_delta', endOf(result));
    const isHidden = chunk.type === 'reasoning' && !showsThoughts;
    return start + (isHidden ? '' : this.#blocks.add(chunk));
  }

  end(): string {
    return event('message_stop', {});
  }

  /** What the prompt took is told here; all figures at the end. */
  #begin(prompt = noUsage): string {
    if (this.#isBegun) return '';
    this.#isBegun = true;
    const usage = usageBody({ ...prompt, completionTokens: 0 });
    return event('message_start', {
      message: { ...this.task.head, content: [], stop_reason: null, stop_sequence: null, usage },
    });
  }
}

class Blocks {
  #count = 0;
  /** Kind of the open block, and of a call its number. */
  #open: string | undefined;

  /** Events of a chunk; '' where it says nothing. */
  add(chunk: GenerationChunk): string {
    if (chunk.type === 'tool-call') {
      const opened = this.#enter(`call ${chunk.index}`, {
        type: 'tool_use',
        id: chunk.id,
        name: chunk.name,
        input: {},
      });
      if (chunk.arguments === '') return opened;
      return opened + this.#delta({ type: 'input_json_delta', partial_json: chunk.arguments });
    }
    if (chunk.text === '') return '';
    if (chunk.type === 'reasoning') {
      const opened = this.#enter('thinking', { type: 'thinking', thinking: '', signature: '' });
      return opened + this.#delta({ type: 'thinking_delta', thinking: chunk.text });
    }
    return (
      this.#enter('text', { type: 'text', text: '' }) + this.#delta({ type: 'text_delta', text: chunk.text })
    );
  }

  /** Closes the last block; a message without any gets an empty text. */
  end(): string {
    if (this.#count === 0) return this.#enter('text', { type: 'text', text: '' }) + this.#close();
    return this.#close();
  }

  #enter(kind: string, block: object): string {
    if (this.#open === kind) return '';
    const closed = this.#close();
    this.#open = kind;
    return closed + event('content_block_start', { index: this.#count++, content_block: block });
  }

  #delta(delta: object): string {
    return event('content_block_delta', { index: this.#count - 1, delta });
  }

  #close(): string {
    if (this.#open === undefined) return '';
    this.#open = undefined;
    return event('content_block_stop', { index: this.#count - 1 });
  }
}

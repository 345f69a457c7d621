/** The events of a streamed response: numbered, each item added, filled and done. */
import type { GenerationChunk, GenerationResult } from '../../engine/run.js';
import { namedEvent } from '../protocol.js';
import type { EventWriter, RunPart } from '../run-events.js';
import { contentOf, kindOf, OutputItem } from './items.js';

export interface ResponseTask {
  /** Behind 'resp_'. */
  id: string;
  /** The whole response, with what is known of it. */
  bodyOf(items: readonly OutputItem[], result?: GenerationResult): { status: string };
}

export class ResponseEvents implements EventWriter {
  readonly #stream: ItemStream;
  /** The first events, until they go out with what comes next. */
  #start: string;

  constructor(private readonly task: ResponseTask) {
    const stream = new ItemStream(task.id);
    const response = task.bodyOf([]);
    this.#stream = stream;
    this.#start =
      stream.event('response.created', { response }) + stream.event('response.in_progress', { response });
  }

  part({ chunk, result }: RunPart): string {
    const stream = this.#stream;
    const start = this.#start;
    this.#start = '';
    if (chunk !== undefined) return start + stream.add(chunk);
    const ended = stream.end(result.finishReason === 'length');
    const whole = this.task.bodyOf(stream.items, result);
    return start + ended + stream.event(`response.${whole.status}`, { response: whole });
  }

  end(): string {
    return '';
  }
}

/** Names of the events that an item's content comes in. */
const contentEvents = {
  message: 'response.output_text',
  reasoning: 'response.reasoning_text',
  function_call: 'response.function_call_arguments',
};

class ItemStream {
  readonly items: OutputItem[] = [];
  readonly #id: string;
  #sequence = 0;
  #open: OutputItem | undefined;
  /** Number of the open call. */
  #call: number | undefined;

  constructor(id: string) {
    this.#id = id;
  }

  event(type: string, fields: object): string {
    return namedEvent(type, { type, sequence_number: this.#sequence++, ...fields });
  }

  /** Events of a chunk; '' where it says nothing. */
  add(chunk: GenerationChunk): string {
    const more = contentOf(chunk);
    if (chunk.type !== 'tool-call' && more === '') return '';
    const opened = this.#enter(chunk);
    const item = this.#open as OutputItem;
    item.text += more;
    if (more === '') return opened;
    const logprobs = item.kind === 'message' ? { logprobs: [] } : {};
    return (
      opened +
      this.event(`${contentEvents[item.kind]}.delta`, { ...this.#place(item), delta: more, ...logprobs })
    );
  }

  /** Ends the last item; an answer without any gets an empty message. */
  end(isCut: boolean): string {
    const opened = this.items.length === 0 ? this.#begin(new OutputItem('message', this.#id, 0)) : '';
    return opened + this.#close(isCut);
  }

  #enter(chunk: GenerationChunk): string {
    const kind = kindOf(chunk);
    const call = chunk.type === 'tool-call' ? chunk.index : undefined;
    if (this.#open?.kind === kind && this.#call === call) return '';
    const closed = this.#close(false);
    this.#call = call;
    const named = chunk.type === 'tool-call' ? { id: chunk.id, name: chunk.name } : {};
    return closed + this.#begin(new OutputItem(kind, this.#id, this.items.length, named));
  }

  #begin(item: OutputItem): string {
    this.items.push(item);
    this.#open = item;
    const added = this.event('response.output_item.added', {
      output_index: item.index,
      item: item.body('in_progress'),
    });
    if (item.kind === 'function_call') return added;
    return added + this.event('response.content_part.added', { ...this.#place(item), part: item.part });
  }

  #close(isCut: boolean): string {
    const item = this.#open;
    if (item === undefined) return '';
    this.#open = undefined;
    return (
      this.#contentDone(item) +
      this.event('response.output_item.done', {
        output_index: item.index,
        item: item.body(isCut ? 'incomplete' : 'completed'),
      })
    );
  }

  #contentDone(item: OutputItem): string {
    const done = `${contentEvents[item.kind]}.done`;
    const place = this.#place(item);
    if (item.kind === 'function_call') {
      return this.event(done, { ...place, name: item.call.name, arguments: item.text });
    }
    const logprobs = item.kind === 'message' ? { logprobs: [] } : {};
    return (
      this.event(done, { ...place, text: item.text, ...logprobs }) +
      this.event('response.content_part.done', { ...place, part: item.part })
    );
  }

  #place({ id, index, kind }: OutputItem): object {
    const place = { item_id: id, output_index: index };
    return kind === 'function_call' ? place : { ...place, content_index: 0 };
  }
}

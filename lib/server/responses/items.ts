/** What an answer consists of, as items of /v1/responses: whole, and while they grow. */
import type { GenerationChunk, GenerationResult } from '../../engine/run.js';

export type ItemKind = 'reasoning' | 'message' | 'function_call';

/** One item, as far as it has come. */
export class OutputItem {
  text = '';

  constructor(
    readonly kind: ItemKind,
    /** Of the response: its ids end with it. */
    readonly response: string,
    readonly index: number,
    readonly call: { id?: string; name?: string } = {},
  ) {}

  get id(): string {
    const prefix = { reasoning: 'rs', message: 'msg', function_call: 'fc' }[this.kind];
    return `${prefix}_${this.index}_${this.response}`;
  }

  /** Of the text that a message or thoughts consist of. */
  get part(): object {
    if (this.kind === 'reasoning') return { type: 'reasoning_text', text: this.text };
    return { type: 'output_text', text: this.text, annotations: [], logprobs: [] };
  }

  body(status: 'in_progress' | 'completed' | 'incomplete'): object {
    const { id, kind: type, text, call } = this;
    if (type === 'function_call') {
      return { id, type, status, call_id: call.id, name: call.name, arguments: text };
    }
    const content = status === 'in_progress' ? [] : [this.part];
    if (type === 'reasoning') return { id, type, status, summary: [], content };
    return { id, type, status, role: 'assistant', content };
  }
}

/** The items of a whole answer. */
export function itemsOf(
  { text, reasoning, toolCalls = [] }: GenerationResult,
  response: string,
): OutputItem[] {
  const items: OutputItem[] = [];
  const add = (kind: ItemKind, content: string, call?: { id: string; name: string }) => {
    const item = new OutputItem(kind, response, items.length, call);
    item.text = content;
    items.push(item);
  };
  if (reasoning) add('reasoning', reasoning);
  if (text !== '' || toolCalls.length === 0) add('message', text);
  for (const one of toolCalls) add('function_call', one.argumentsText, one);
  return items;
}

const kinds = { text: 'message', reasoning: 'reasoning', 'tool-call': 'function_call' } as const;

export const kindOf = ({ type }: GenerationChunk): ItemKind => kinds[type];

/** What a chunk adds to its item. */
export const contentOf = (chunk: GenerationChunk): string =>
  chunk.type === 'tool-call' ? chunk.arguments : chunk.text;

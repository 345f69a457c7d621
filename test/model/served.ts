/** A handler over the embedded model, with a chat template, and requests to it as clients send them. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Model } from '../../lib/model.js';
import type { LoadOptions } from '../../lib/options.js';
import { createHandler, type Handler, type HandlerOptions } from '../../lib/server/index.js';
import { makeChatModel } from '../cli/cli-command.js';

/** What tests look at in answers. */
// biome-ignore lint/suspicious/noExplicitAny: bodies of every route
export type Body = any;

export interface Reply {
  status: number;
  headers: Headers;
  body: Body;
}

export const url = (path: string): string => `http://127.0.0.1${path}`;

export function post(
  handler: (request: Request) => Promise<Response>,
  path: string,
  body: unknown,
  { headers = {}, signal }: { headers?: Record<string, string>; signal?: AbortSignal } = {},
): Promise<Response> {
  const request = new Request(url(path), {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
    signal,
  });
  return handler(request);
}

export async function replyOf(pending: Promise<Response>): Promise<Reply> {
  const response = await pending;
  const { status, headers } = response;
  const text = await response.text();
  return { status, headers, body: /json/.test(headers.get('content-type') ?? '') ? JSON.parse(text) : text };
}

/** The events of a stream: their names, where they have one, and their data. */
export function eventsOf(text: string): { event: string | undefined; data: Body }[] {
  return text
    .split('\n\n')
    .filter((block) => /^(event|data):/.test(block))
    .map((block) => {
      const lines = block.split('\n');
      const field = (name: string) =>
        lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2);
      const data = field('data') ?? '';
      return { event: field('event'), data: data === '[DONE]' ? data : JSON.parse(data) };
    });
}

function setTemplate(path: string, template: string): void {
  const config = JSON.parse(readFileSync(path, 'utf8')) as object;
  writeFileSync(path, JSON.stringify({ ...config, chat_template: template }));
}

export class Served {
  readonly model: Model;
  readonly handler: Handler;
  readonly #remove: () => void;

  private constructor(model: Model, options: Partial<HandlerOptions>, remove: () => void) {
    this.model = model;
    this.handler = createHandler({ models: { stories: model }, ...options });
    this.#remove = remove;
  }

  /** stories-260k with room for 4096 tokens, and a plain chat template where no other is given. */
  static async start(
    options: Partial<HandlerOptions> = {},
    { template, ...load }: LoadOptions & { template?: string } = {},
  ): Promise<Served> {
    const { folder, remove } = makeChatModel();
    if (template !== undefined) setTemplate(join(folder, 'tokenizer_config.json'), template);
    const model = await Model.load(folder, { threads: 1, kvCapacity: 32_768, ...load });
    return new Served(model, options, remove);
  }

  async post(path: string, body: unknown, headers?: Record<string, string>): Promise<Reply> {
    return replyOf(post(this.handler, path, body, { headers }));
  }

  async get(path: string, headers: Record<string, string> = {}): Promise<Reply> {
    return replyOf(this.handler(new Request(url(path), { headers })));
  }

  async stream(path: string, body: object): Promise<ReturnType<typeof eventsOf>> {
    const { status, headers, body: text } = await this.post(path, { stream: true, ...body });
    if (status !== 200) throw new Error(`${status}: ${JSON.stringify(text)}`);
    if (!headers.get('content-type')?.startsWith('text/event-stream')) throw new Error('no stream');
    return eventsOf(text);
  }

  async stop(): Promise<void> {
    await this.handler.close();
    await this.model.dispose();
    this.#remove();
  }
}

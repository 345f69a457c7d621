/** The server's routes as the page uses them: JSON, and events of a streamed chat. */

export interface ModelEntry {
  id: string;
  loaded: boolean;
  architecture?: string;
  dtype?: string;
  device?: string;
  kernels?: string;
  memory?: number;
  max_model_len?: number;
}

export interface TopToken {
  token: string;
  logprob: number;
}
export interface TokenEntry extends TopToken {
  top_logprobs: TopToken[];
}
export interface CallDelta {
  index: number;
  id?: string;
  function?: { name?: string; arguments?: string };
}
export interface ChatEvent {
  choices: {
    delta: { content?: string; reasoning_content?: string; tool_calls?: CallDelta[] };
    logprobs: { content: TokenEntry[] } | null;
    finish_reason: string | null;
  }[];
  usage?: {
    prompt_tokens: number;
    completion_tokens: number;
    prompt_tokens_details: { cached_tokens: number };
  } | null;
  error?: { message: string };
}

export class Server {
  /** '' where the server asks for no key. */
  key = '';

  async models(): Promise<ModelEntry[]> {
    const { data } = (await (await this.#ask('v1/models')).json()) as { data: ModelEntry[] };
    return data;
  }

  /** Prometheus' text, by name and labels. */
  async metrics(): Promise<Map<string, number>> {
    const text = await (await this.#ask('metrics')).text();
    const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
    return new Map(
      lines.map((line) => {
        const end = line.lastIndexOf(' ');
        return [line.slice(0, end), Number(line.slice(end + 1))];
      }),
    );
  }

  /** Events as they come. Throws what the server says is wrong, or an AbortError. */
  async *chat(body: object, signal: AbortSignal): AsyncGenerator<ChatEvent> {
    const response = await this.#ask('v1/chat/completions', body, signal);
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    let rest = '';
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const blocks = (rest + value).split('\n\n');
      rest = blocks.pop() ?? '';
      for (const block of blocks) {
        // Lines that begin otherwise are pings.
        if (!block.startsWith('data: ') || block === 'data: [DONE]') continue;
        const event = JSON.parse(block.slice(6)) as ChatEvent;
        if (event.error) throw new Error(event.error.message);
        yield event;
      }
    }
  }

  async #ask(path: string, body?: object, signal?: AbortSignal): Promise<Response> {
    const headers: Record<string, string> = this.key === '' ? {} : { authorization: `Bearer ${this.key}` };
    const post = body && { method: 'POST', body: JSON.stringify(body) };
    if (body) headers['content-type'] = 'application/json';
    const response = await fetch(path, { headers, signal, ...post });
    if (response.ok) return response;
    const text = await response.text();
    throw new Error(messageIn(text) ?? `${response.status} ${response.statusText}`);
  }
}

function messageIn(text: string): string | undefined {
  try {
    return (JSON.parse(text) as { error?: { message?: string } }).error?.message;
  } catch {
    return undefined;
  }
}

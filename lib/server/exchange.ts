/** One request on its way: who asks, until when, what ends it early, and what is told of it afterwards. */
import { randomUUID } from 'node:crypto';
import { Failure } from './failure.js';
import { anybody, type Holder } from './keys.js';

/** What logs and metrics tell of a request: figures and names, no text of it. */
export interface RequestFacts {
  id: string;
  method: string;
  path: string;
  /** The route that answers; absent where there is none. */
  route?: string;
  status: number;
  /** From the request to the end of its answer. */
  ms: number;
  /** Name of the key. */
  key: string;
  model?: string;
  stream?: boolean;
  /** In the queue, a load of the model included. */
  queueMs?: number;
  /** From the request to its first token. */
  ttftMs?: number;
  /** Of the tokens after the first. */
  msPerToken?: number;
  promptTokens?: number;
  cachedTokens?: number;
  completionTokens?: number;
  finishReasons?: string[];
  /** Code and message of what went wrong. */
  error?: string;
  /** The fault behind a 5xx. */
  cause?: string;
  /** The body, where logs may hold prompts. */
  body?: unknown;
}

export class Exchange {
  readonly facts: RequestFacts;
  readonly request: Request;
  holder: Holder = anybody;
  readonly #controller = new AbortController();
  readonly #started = performance.now();
  readonly #timer: NodeJS.Timeout;
  readonly #onGone: () => void;
  readonly #onEnd: (exchange: Exchange) => void;
  #ended = false;

  /** @param onEnd called once, when the answer is out or will never be. */
  constructor(request: Request, timeoutMs: number, onEnd: (exchange: Exchange) => void) {
    this.request = request;
    this.#onEnd = onEnd;
    this.facts = {
      id: `req_${randomUUID().replaceAll('-', '')}`,
      method: request.method,
      path: new URL(request.url).pathname.slice(0, 200),
      status: 0,
      ms: 0,
      key: '',
    };
    this.#onGone = () => this.abort(new Failure('gone', 'The client left.'));
    this.#timer = setTimeout(() => {
      this.abort(new Failure('timeout', `The answer took longer than ${timeoutMs} ms.`, { code: 'timeout' }));
    }, timeoutMs);
    this.#timer.unref();
    if (request.signal.aborted) this.#onGone();
    else request.signal.addEventListener('abort', this.#onGone, { once: true });
  }

  /** Aborted with a Failure: the client left, the deadline passed, the server ends. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Milliseconds since the request came. */
  get elapsedMs(): number {
    return performance.now() - this.#started;
  }

  abort(reason: Failure): void {
    this.#controller.abort(reason);
  }

  /** Idempotent. */
  end(failure?: Failure): void {
    if (this.#ended) return;
    this.#ended = true;
    clearTimeout(this.#timer);
    this.request.signal.removeEventListener('abort', this.#onGone);
    const { facts } = this;
    facts.ms = Math.round(this.elapsedMs * 10) / 10;
    facts.key = this.holder.name;
    if (failure !== undefined) {
      facts.status = failure.status;
      facts.error = `${failure.code ?? failure.kind}: ${failure.message}`.slice(0, 500);
      if (failure.status === 500 || failure.status === 503) facts.cause = causeOf(failure);
    }
    this.#onEnd(this);
  }
}

function causeOf({ cause }: Failure): string | undefined {
  if (cause === undefined) return undefined;
  return (cause instanceof Error ? (cause.stack ?? cause.message) : String(cause)).slice(0, 4000);
}

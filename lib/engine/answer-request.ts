/** Requests that compute one answer. They generate nothing and keep nothing, and an abort is their failure. */
import { Deferred } from './deferred.js';
import type { Engine } from './engine.js';
import { Request } from './request.js';

export interface Asking {
  branches?: number;
  adapter?: number;
  /** Aborting fails the request with the signal's reason. */
  signal?: AbortSignal;
}

export abstract class AnswerRequest<Answer> extends Request {
  readonly signal: AbortSignal | undefined;
  readonly #result = new Deferred<Answer>();

  /** @param positions most positions that each branch will ever hold. */
  constructor(prompt: Int32Array, positions: number, { branches, adapter, signal }: Asking) {
    super(prompt, positions, { reuse: false }, branches, adapter);
    this.signal = signal;
  }

  get result(): Promise<Answer> {
    return this.#result.promise;
  }

  get paused(): boolean {
    return false;
  }

  /** Ends with this answer. */
  protected answer(answer: Answer): void {
    this.settled = true;
    this.#result.resolve(answer);
  }

  abort(): void {
    this.fail(this.signal?.reason);
  }

  fail(error: unknown): void {
    if (this.settled) return;
    this.settled = true;
    this.#result.reject(error);
  }
}

/** Submits a request and waits. Throws CONTEXT_OVERFLOW, BUSY, DISPOSED or the signal's reason. */
export async function answerOf<Answer>(engine: Engine, request: AnswerRequest<Answer>): Promise<Answer> {
  const { signal } = request;
  signal?.throwIfAborted();
  const stop = () => engine.cancel(request);
  signal?.addEventListener('abort', stop, { once: true });
  try {
    engine.submit(request);
    return await request.result;
  } finally {
    signal?.removeEventListener('abort', stop);
  }
}

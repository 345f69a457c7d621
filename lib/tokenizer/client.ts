/** The main thread's end of a tokenizer that lives on a worker thread. */
import { KvasirError, type KvasirErrorCode } from '../errors.js';
import type { ChatMessage, ChatTemplateOptions } from './chat-messages.js';
import type { ReadyMessage, Reply, Request, SentError, WorkerMessage } from './protocol.js';
import type { TokenizerSource } from './source.js';
import { TokenizerThread } from './thread.js';

export interface EncodeJob {
  kind: 'encode';
  text: string;
  addSpecialTokens: boolean;
}

/** Plain data. */
export interface ChatJob {
  kind: 'chat';
  messages: readonly ChatMessage[];
  options: ChatTemplateOptions;
  wanted: 'text' | 'ids';
}

export type Job = EncodeJob | ChatJob;

/** An answer that is no failure. */
export type Answer = Extract<Reply, { kind: 'encoded' | 'rendered' }>;

interface Pending {
  resolve: (answer: Answer) => void;
  reject: (error: unknown) => void;
}

/** A synchronous call gives up after this: only a thread that has died takes so long. */
const longestSleepMs = 120_000;

function received({ code, message }: SentError): KvasirError {
  return new KvasirError(code as KvasirErrorCode, message);
}

export class TokenizerClient {
  readonly #thread: TokenizerThread;
  readonly #pending = new Map<number, Pending>();
  #ended: KvasirError | undefined;
  #onReady: { resolve: (ready: ReadyMessage) => void; reject: (error: unknown) => void } | undefined;
  readonly ready: Promise<ReadyMessage>;

  /** Building starts at once. Aborting while it builds ends the thread. */
  constructor(source: TokenizerSource, signal?: AbortSignal) {
    signal?.throwIfAborted();
    this.#thread = new TokenizerThread({
      receive: (message) => this.#receive(message),
      ended: (error) => this.#end(error),
    });
    this.ready = new Promise((resolve, reject) => {
      this.#onReady = { resolve, reject };
    });
    // Whoever waits for `ready` gets the rejection; nobody has to.
    this.ready.catch(() => {});
    this.#thread.post({ kind: 'open', source });
    if (signal) this.#endOnAbort(signal);
  }

  /** Rejects with the signal's reason, DISPOSED, or the worker's error. */
  async ask(job: Job, signal?: AbortSignal): Promise<Answer> {
    signal?.throwIfAborted();
    if (this.#ended) throw this.#ended;
    const id = this.#thread.nextId();
    const stop = signal ? new SharedArrayBuffer(4) : undefined;
    const request: Request = { ...job, id, stop };
    return new Promise((resolve, reject) => {
      const abort = (): void => {
        Atomics.store(new Int32Array(stop!), 0, 1);
        this.#settle(id)?.reject(signal!.reason);
      };
      const done = (): void => signal?.removeEventListener('abort', abort);
      signal?.addEventListener('abort', abort, { once: true });
      if (this.#pending.size === 0) this.#thread.ref();
      this.#pending.set(id, {
        resolve: (answer) => {
          done();
          resolve(answer);
        },
        reject: (error) => {
          done();
          reject(error);
        },
      });
      this.#thread.post(request);
    });
  }

  /** Blocks this thread until the worker has answered. */
  askSync(job: Job): Answer {
    if (this.#ended) throw this.#ended;
    const id = this.#thread.nextId();
    const reply = this.#thread.postAndWait({ ...job, id, synchronous: true }, longestSleepMs);
    if (reply?.kind === 'encoded' || reply?.kind === 'rendered') return reply;
    if (reply?.kind === 'failed') throw received(reply.error);
    throw new KvasirError(
      'INTERNAL',
      `The tokenizer thread gave no answer in ${longestSleepMs / 1000} seconds, or is gone.`,
    );
  }

  async dispose(): Promise<void> {
    if (this.#ended) return;
    this.#end(new KvasirError('DISPOSED', 'The model has been disposed; its tokenizer no longer encodes.'));
    await this.#thread.terminate();
  }

  #receive(message: WorkerMessage): void {
    switch (message.kind) {
      case 'ready':
        this.#onReady?.resolve(message);
        this.#onReady = undefined;
        if (this.#pending.size === 0) this.#thread.unref();
        return;
      case 'broken':
        this.#end(received(message.error));
        void this.#thread.terminate();
        return;
      case 'encoded':
      case 'rendered':
        this.#settle(message.id)?.resolve(message);
        return;
      case 'failed':
        this.#settle(message.id)?.reject(received(message.error));
        return;
      case 'stopped':
        return;
    }
  }

  /** Takes a request off the list. A thread with nothing to do does not keep the process alive. */
  #settle(id: number): Pending | undefined {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    if (this.#pending.size === 0 && !this.#ended) this.#thread.unref();
    return pending;
  }

  /** The first reason counts; all that waits is rejected with it. */
  #end(error: KvasirError): void {
    this.#ended ??= error;
    this.#onReady?.reject(this.#ended);
    this.#onReady = undefined;
    for (const id of [...this.#pending.keys()]) this.#settle(id)?.reject(this.#ended);
  }

  #endOnAbort(signal: AbortSignal): void {
    const abort = (): void => {
      this.#onReady?.reject(signal.reason);
      this.#onReady = undefined;
      this.#end(new KvasirError('DISPOSED', 'The load of this tokenizer was given up.'));
      void this.#thread.terminate();
    };
    signal.addEventListener('abort', abort, { once: true });
    const done = (): void => signal.removeEventListener('abort', abort);
    this.ready.then(done, done);
  }
}

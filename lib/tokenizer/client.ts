/**
 * The main thread's end of a tokenizer that lives on a worker thread. It hands requests over in pieces that are small enough
 * for an event loop, and watches them: one that takes longer than its length allows ends with LIMIT_EXCEEDED, its thread is
 * replaced, and the others go on there.
 */
import { statSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { KvasirError, type KvasirErrorCode } from '../errors.js';
import type { ChatMessage, ChatTemplateOptions } from './chat-messages.js';
import {
  idle,
  opening,
  type PartRequest,
  type ReadyMessage,
  type Reply,
  type Request,
  type SentError,
  type WorkerMessage,
} from './protocol.js';
import { partsOfMessages, partsOfText } from './request-parts.js';
import type { TokenizerSource } from './source.js';
import { TokenizerThread } from './thread.js';
import { allowedForTokenizer, leavingMs, WorkTime } from './work-time.js';

export interface EncodeJob {
  kind: 'encode';
  text: string;
  addSpecialTokens: boolean;
  offsets: boolean;
  second?: string;
  /** Milliseconds of work. */
  allowed: number;
}

/** Plain data. */
export interface ChatJob {
  kind: 'chat';
  messages: readonly ChatMessage[];
  options: ChatTemplateOptions;
  wanted: 'text' | 'ids';
  allowed: number;
}

export type Job = EncodeJob | ChatJob;

/** An answer that is no failure. */
export type Answer = Extract<Reply, { kind: 'encoded' | 'rendered' }>;

interface Pending {
  job: Job;
  stop?: SharedArrayBuffer;
  resolve: (answer: Answer) => void;
  reject: (error: unknown) => void;
}

/** A request that may wait this long for its turn is looked at again. */
const lookEveryMs = 500;

function received({ code, message }: SentError): KvasirError {
  return new KvasirError(code as KvasirErrorCode, message);
}

function tookTooLong(allowed: number): KvasirError {
  const seconds = Math.round(allowed / 1000);
  return new KvasirError(
    'LIMIT_EXCEEDED',
    `The text took its thread longer than the ${seconds} s that are enough for its length. Its tokenizer or chat template is not made for it.`,
    { details: { seconds } },
  );
}

/** Of all files; what cannot be asked is refused where it is read. */
function bytesOf(source: TokenizerSource): number {
  try {
    return statSync(source.path).size;
  } catch {
    return 0;
  }
}

/** What is posted for a job: its parts, and at last the request. */
function* requestsOf(
  job: Job,
  id: number,
  stop?: SharedArrayBuffer,
): Generator<PartRequest | Request, void, void> {
  let last: PartRequest | undefined;
  const parts = job.kind === 'encode' ? partsOfText(job.text) : partsOfMessages(job.messages);
  for (const part of parts) {
    if (last !== undefined) yield last;
    last = { kind: 'part', id, part };
  }
  if (job.kind === 'encode') {
    const { addSpecialTokens, offsets, second } = job;
    yield { kind: 'encode', id, text: last?.part as string, addSpecialTokens, offsets, second, stop };
  } else {
    const { options, wanted } = job;
    yield { kind: 'chat', id, messages: last?.part as ChatMessage[], options, wanted, stop };
  }
}

export class TokenizerClient {
  readonly #source: TokenizerSource;
  #thread: TokenizerThread;
  readonly #pending = new Map<number, Pending>();
  #nextId = 1;
  #ended: KvasirError | undefined;
  #onReady: { resolve: (ready: ReadyMessage) => void; reject: (error: unknown) => void } | undefined;
  /** A thread that is building its tokenizer. */
  #opens = true;
  #work: WorkTime | undefined;
  #look: NodeJS.Timeout | undefined;
  readonly ready: Promise<ReadyMessage>;

  /** Building starts at once. Aborting while it builds ends the thread. */
  constructor(source: TokenizerSource, signal?: AbortSignal) {
    signal?.throwIfAborted();
    this.#source = source;
    this.#thread = this.#start();
    this.ready = new Promise((resolve, reject) => {
      this.#onReady = { resolve, reject };
    });
    // Whoever waits for `ready` gets the rejection; nobody has to.
    this.ready.catch(() => {});
    if (signal) this.#endOnAbort(signal);
  }

  #start(): TokenizerThread {
    const thread: TokenizerThread = new TokenizerThread({
      receive: (message) => this.#receive(message),
      ended: (error) => this.#threadEnded(thread, error),
    });
    this.#opens = true;
    this.#work = undefined;
    thread.post({ kind: 'open', source: this.#source });
    this.#lookIn(lookEveryMs);
    return thread;
  }

  /** Rejects with the signal's reason, DISPOSED, LIMIT_EXCEEDED, or the worker's error. */
  async ask(job: Job, signal?: AbortSignal): Promise<Answer> {
    signal?.throwIfAborted();
    if (this.#ended) throw this.#ended;
    const id = this.#nextId++;
    const stop = signal ? new SharedArrayBuffer(4) : undefined;
    return new Promise((resolve, reject) => {
      const abort = (): void => {
        Atomics.store(new Int32Array(stop!), 0, 1);
        this.#settle(id)?.reject(signal!.reason);
        this.#lookIn(leavingMs);
      };
      const done = (): void => signal?.removeEventListener('abort', abort);
      signal?.addEventListener('abort', abort, { once: true });
      if (this.#pending.size === 0) this.#thread.ref();
      this.#pending.set(id, {
        job,
        stop,
        resolve: (answer) => {
          done();
          resolve(answer);
        },
        reject: (error) => {
          done();
          reject(error);
        },
      });
      void this.#send(id);
      this.#lookIn(lookEveryMs);
    });
  }

  /** At once what is short; else a piece in each turn of the event loop, until it is given up or its thread is replaced. */
  async #send(id: number): Promise<void> {
    const { job, stop } = this.#pending.get(id)!;
    const thread = this.#thread;
    for (const request of requestsOf(job, id, stop)) {
      thread.post(request);
      if (request.kind !== 'part') return;
      await nextTurn();
      if (this.#thread !== thread) return;
      if (this.#pending.has(id)) continue;
      if (this.#ended === undefined) thread.post({ kind: 'forget', id });
      return;
    }
  }

  /** Blocks this thread until the worker has answered, which it is given the time for that all it has to do may take. */
  askSync(job: Job): Answer {
    if (this.#ended) throw this.#ended;
    const id = this.#nextId++;
    for (;;) {
      const thread = this.#thread;
      let over: number | undefined;
      const goesOn = (): boolean => {
        over = this.#overdue((current) => (current === id ? job.allowed : this.#allowed(current)));
        return over === undefined;
      };
      let reply: Reply | undefined;
      for (const request of requestsOf(job, id)) {
        if (request.kind === 'part') thread.post(request);
        else reply = thread.postAndWait({ ...request, synchronous: true }, goesOn);
      }
      this.#rest();
      if (reply?.kind === 'encoded' || reply?.kind === 'rendered') return reply;
      if (reply?.kind === 'failed') throw received(reply.error);
      if (over === undefined) throw new KvasirError('INTERNAL', 'The tokenizer thread gave no answer.');
      // Its own time is over, or that of one before it: then it is asked again.
      this.#giveUp(over);
      if (over === id) throw tookTooLong(job.allowed);
      if (this.#ended) throw this.#ended;
    }
  }

  async dispose(): Promise<void> {
    if (this.#ended) return;
    this.#end(new KvasirError('DISPOSED', 'The model has been disposed; its tokenizer no longer encodes.'));
    await this.#thread.end();
  }

  #receive(message: WorkerMessage): void {
    switch (message.kind) {
      case 'ready':
        this.#opens = false;
        this.#onReady?.resolve(message);
        this.#onReady = undefined;
        this.#rest();
        return;
      case 'broken':
        this.#end(received(message.error));
        void this.#thread.end();
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

  /** Takes a request off the list. */
  #settle(id: number): Pending | undefined {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    this.#rest();
    return pending;
  }

  /** A thread with nothing to do does not keep the process alive. */
  #rest(): void {
    if (this.#pending.size === 0 && !this.#ended && !this.#opens) this.#thread.unref();
  }

  /** Milliseconds that what the thread is at may take. What nobody waits for any more has to go. */
  #allowed(current: number): number {
    if (current === opening) return allowedForTokenizer(bytesOf(this.#source));
    return this.#pending.get(current)?.job.allowed ?? leavingMs;
  }

  /** What the thread has been at for too long. */
  #overdue(allowed: (current: number) => number): number | undefined {
    const { current, number } = this.#thread;
    if (current === idle) return undefined;
    if (this.#work?.id !== current || this.#work.thread !== number)
      this.#work = new WorkTime(current, number);
    return this.#work.left(allowed(current)) === 0 ? current : undefined;
  }

  #lookIn(milliseconds: number): void {
    clearTimeout(this.#look);
    this.#look = setTimeout(() => void this.#lookNow(), milliseconds);
    // The thread keeps the process alive while it has something to do.
    this.#look.unref();
  }

  async #lookNow(): Promise<void> {
    const thread = this.#thread;
    let over = this.#overdue((current) => this.#allowed(current));
    if (over !== undefined) {
      // Its answer may have come by now.
      await nextTurn();
      over = this.#thread === thread ? this.#overdue((current) => this.#allowed(current)) : undefined;
    }
    if (this.#ended) return;
    if (over !== undefined) this.#giveUp(over);
    if (this.#pending.size > 0 || this.#opens || this.#thread.current !== idle) this.#lookIn(lookEveryMs);
  }

  /** Ends what the thread is at, and the thread. */
  #giveUp(current: number): void {
    const allowed = this.#allowed(current);
    void this.#thread.end();
    if (current === opening) {
      this.#end(new KvasirError('LIMIT_EXCEEDED', `The tokenizer took longer than ${allowed} ms to build.`));
      return;
    }
    this.#settle(current)?.reject(tookTooLong(allowed));
    this.#replace();
  }

  /** A new thread for all that has no answer yet. */
  #replace(): void {
    this.#thread = this.#start();
    for (const id of this.#pending.keys()) void this.#send(id);
  }

  #threadEnded(thread: TokenizerThread, error: KvasirError): void {
    if (thread !== this.#thread) return;
    const { current } = thread;
    if (error.code !== 'LIMIT_EXCEEDED' || current === idle) {
      this.#end(error);
      return;
    }
    if (current === opening) {
      this.#end(new KvasirError('LIMIT_EXCEEDED', 'The tokenizer takes more memory than its thread has.'));
      return;
    }
    this.#settle(current)?.reject(error);
    this.#replace();
  }

  /** The first reason counts; all that waits is rejected with it. */
  #end(error: KvasirError): void {
    this.#ended ??= error;
    clearTimeout(this.#look);
    this.#onReady?.reject(this.#ended);
    this.#onReady = undefined;
    for (const id of [...this.#pending.keys()]) this.#settle(id)?.reject(this.#ended);
  }

  #endOnAbort(signal: AbortSignal): void {
    const abort = (): void => {
      this.#onReady?.reject(signal.reason);
      this.#onReady = undefined;
      this.#end(new KvasirError('DISPOSED', 'The load of this tokenizer was given up.'));
      void this.#thread.end();
    };
    signal.addEventListener('abort', abort, { once: true });
    const done = (): void => signal.removeEventListener('abort', abort);
    this.ready.then(done, done);
  }
}

/** The main thread's end of the tokenizer's worker thread. */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from 'node:worker_threads';
import { KvasirError, type KvasirErrorCode } from '../errors.js';
import type { ContentMarks } from './content-marks.js';
import type { EncodeReply, EncodeRequest, ReadyMessage, SentError, WorkerMessage } from './protocol.js';
import type { TokenizerSource } from './source.js';

export interface EncodeJob {
  text: string;
  addSpecialTokens: boolean;
  marks?: ContentMarks;
}

interface Pending {
  resolve: (ids: Int32Array) => void;
  reject: (error: unknown) => void;
}

/** A synchronous call gives up after this: only a thread that has died takes so long. */
const longestSleepMs = 120_000;

/** The compiled worker: beside this file, or in dist when this file runs as TypeScript. */
function workerFile(): URL {
  const beside = new URL('./worker.js', import.meta.url);
  const file = existsSync(fileURLToPath(beside))
    ? beside
    : new URL('../../dist/tokenizer/worker.js', import.meta.url);
  if (existsSync(fileURLToPath(file))) return file;
  throw new KvasirError(
    'INTERNAL',
    `${fileURLToPath(file)} is missing: build the package first (npm run build).`,
  );
}

function received({ code, message }: SentError): KvasirError {
  return new KvasirError(code as KvasirErrorCode, message);
}

export class TokenizerClient {
  readonly #worker: Worker;
  readonly #wake = new SharedArrayBuffer(4);
  readonly #replies: MessagePort;
  readonly #pending = new Map<number, Pending>();
  #nextId = 0;
  #ended: KvasirError | undefined;
  #onReady: { resolve: (ready: ReadyMessage) => void; reject: (error: unknown) => void } | undefined;
  readonly ready: Promise<ReadyMessage>;

  /** The thread starts at once. Aborting while it builds ends it. */
  constructor(source: TokenizerSource, signal?: AbortSignal) {
    signal?.throwIfAborted();
    const { port1, port2 } = new MessageChannel();
    this.#replies = port1;
    this.#worker = new Worker(workerFile(), {
      workerData: { source, wake: this.#wake, replies: port2 },
      transferList: [port2],
      execArgv: [],
    });
    this.ready = new Promise((resolve, reject) => {
      this.#onReady = { resolve, reject };
    });
    // Whoever waits for `ready` gets the rejection; nobody has to.
    this.ready.catch(() => {});
    this.#listen();
    if (signal) this.#endOnAbort(signal);
  }

  /** Rejects with the signal's reason, DISPOSED, or the worker's error. */
  async encode(job: EncodeJob, signal?: AbortSignal): Promise<Int32Array> {
    signal?.throwIfAborted();
    if (this.#ended) throw this.#ended;
    const id = this.#nextId++;
    const stop = signal ? new SharedArrayBuffer(4) : undefined;
    const request: EncodeRequest = { id, ...job, stop };
    return new Promise((resolve, reject) => {
      const abort = (): void => {
        Atomics.store(new Int32Array(stop!), 0, 1);
        this.#settle(id)?.reject(signal!.reason);
      };
      const done = (): void => signal?.removeEventListener('abort', abort);
      signal?.addEventListener('abort', abort, { once: true });
      if (this.#pending.size === 0) this.#worker.ref();
      this.#pending.set(id, {
        resolve: (ids) => {
          done();
          resolve(ids);
        },
        reject: (error) => {
          done();
          reject(error);
        },
      });
      this.#worker.postMessage(request);
    });
  }

  /** Blocks this thread until the worker has answered. */
  encodeSync(job: EncodeJob): Int32Array {
    if (this.#ended) throw this.#ended;
    const counter = new Int32Array(this.#wake);
    const before = Atomics.load(counter, 0);
    const request: EncodeRequest = { id: this.#nextId++, ...job, synchronous: true };
    this.#worker.postMessage(request);
    if (Atomics.wait(counter, 0, before, longestSleepMs) === 'timed-out') {
      throw new KvasirError(
        'INTERNAL',
        `The tokenizer thread gave no answer in ${longestSleepMs / 1000} seconds.`,
      );
    }
    const reply = receiveMessageOnPort(this.#replies)?.message as EncodeReply | undefined;
    if (reply?.kind === 'encoded') return reply.ids;
    throw reply?.kind === 'failed'
      ? received(reply.error)
      : new KvasirError('INTERNAL', 'The tokenizer thread is gone.');
  }

  async dispose(): Promise<void> {
    this.#end(new KvasirError('DISPOSED', 'The model has been disposed; its tokenizer no longer encodes.'));
    await this.#worker.terminate();
  }

  #listen(): void {
    this.#worker.on('message', (message: WorkerMessage) => this.#receive(message));
    this.#worker.on('error', (cause) => {
      this.#end(new KvasirError('INTERNAL', `The tokenizer thread failed: ${cause.message}`, { cause }));
    });
    this.#worker.on('exit', (code) => {
      this.#end(new KvasirError('INTERNAL', `The tokenizer thread ended unexpectedly (exit code ${code}).`));
    });
  }

  #receive(message: WorkerMessage): void {
    switch (message.kind) {
      case 'ready':
        this.#onReady?.resolve(message);
        this.#onReady = undefined;
        if (this.#pending.size === 0) this.#worker.unref();
        return;
      case 'broken':
        this.#end(received(message.error));
        void this.#worker.terminate();
        return;
      case 'encoded':
        this.#settle(message.id)?.resolve(message.ids);
        return;
      case 'failed':
        this.#settle(message.id)?.reject(received(message.error));
        return;
      case 'stopped':
        return;
    }
  }

  /**
   * Takes a request off the list. A thread with nothing to do does not keep the process alive; one that is ending does,
   * or an answer that comes after a dispose would let the process end before the dispose is through.
   */
  #settle(id: number): Pending | undefined {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    if (this.#pending.size === 0 && !this.#ended) this.#worker.unref();
    return pending;
  }

  /** The first reason counts; all that waits is rejected with it. */
  #end(error: KvasirError): void {
    this.#ended ??= error;
    this.#onReady?.reject(this.#ended);
    this.#onReady = undefined;
    for (const id of [...this.#pending.keys()]) this.#settle(id)?.reject(this.#ended);
    this.#replies.close();
  }

  #endOnAbort(signal: AbortSignal): void {
    const abort = (): void => {
      this.#onReady?.reject(signal.reason);
      this.#onReady = undefined;
      void this.dispose();
    };
    signal.addEventListener('abort', abort, { once: true });
    const done = (): void => signal.removeEventListener('abort', abort);
    this.ready.then(done, done);
  }
}

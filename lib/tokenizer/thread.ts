/**
 * The worker thread that a tokenizer lives on, as a channel. It ends with its tokenizer, when it has been quiet (lib/quiet.ts);
 * one that does not stop working is terminated.
 */
import {
  MessageChannel,
  type MessagePort,
  receiveMessageOnPort,
  Worker,
  type WorkerOptions,
} from 'node:worker_threads';
import { KvasirError } from '../errors.js';
import { compiledFile } from '../package-root.js';
import { quietMs } from '../quiet.js';
import {
  Shared,
  type Reply,
  type Request,
  type ThreadRequest,
  type WorkerMessage,
  type WorkerStart,
} from './protocol.js';

function startWorker(options: WorkerOptions): Worker {
  try {
    return new Worker(compiledFile('tokenizer', 'worker.js'), options);
  } catch (cause) {
    if (!(cause instanceof Error && 'code' in cause && cause.code === 'ERR_WORKER_INIT_FAILED')) throw cause;
    const advice = 'raise the limit on processes (ulimit -u, the pids limit of a container) or on memory';
    throw new KvasirError('INSUFFICIENT_MEMORY', `The system starts no more threads: ${advice}`, { cause });
  }
}

/** Who hears of the thread. */
export interface ThreadOwner {
  receive(message: WorkerMessage): void;
  /** The thread ended by itself; `LIMIT_EXCEEDED`: for want of memory. */
  ended(error: KvasirError): void;
}

function failureOf(cause: Error): KvasirError {
  if ('code' in cause && cause.code === 'ERR_WORKER_OUT_OF_MEMORY') {
    return new KvasirError('LIMIT_EXCEEDED', 'The text takes more memory than its thread has.', { cause });
  }
  return new KvasirError('INTERNAL', `The tokenizer thread failed: ${cause.message}`, { cause });
}

const askEveryMs = 100;
/** Of its heap, where the process has no smaller limit: the rest of what a text takes is outside of it. */
const resourceLimits = { maxOldGenerationSizeMb: 1024 };
/** A thread that is to end, and has not after so long, works on what cannot be given up: in a regular expression, say. */
const mostEndingMs = 1000;

export class TokenizerThread {
  readonly #worker: Worker;
  readonly #shared = new Int32Array(new SharedArrayBuffer(16));
  readonly #gone: Promise<void>;
  /** Opened for the first synchronous request: it takes milliseconds, which a load has not. */
  #replies: MessagePort | undefined;
  #owner: ThreadOwner | undefined;
  /** Until it is quiet. */
  #resting: NodeJS.Timeout | undefined;

  /** Starts at once, and keeps the process alive until `unref`. */
  constructor(owner: ThreadOwner) {
    this.#owner = owner;
    const workerData: WorkerStart = { shared: this.#shared.buffer as SharedArrayBuffer };
    // Nothing is printed there, and errors are events. Without pipes this thread's own stdout and stderr need not be opened
    // for it, which takes 1.7 of the constructor's 3.5 ms.
    this.#worker = startWorker({ workerData, execArgv: [], stdout: true, stderr: true, resourceLimits });
    this.#worker.on('message', (message: WorkerMessage) => this.#owner?.receive(message));
    this.#worker.on('error', (cause) => this.#failed(failureOf(cause)));
    this.#gone = new Promise((resolve) => {
      this.#worker.on('exit', (code) => {
        resolve();
        this.#failed(
          new KvasirError('INTERNAL', `The tokenizer thread ended unexpectedly (exit code ${code}).`),
        );
      });
    });
  }

  /** The request that it works on, `idle` or `opening`. */
  get current(): number {
    return Atomics.load(this.#shared, Shared.current);
  }

  /** As Linux numbers it; 0: not known. */
  get number(): number {
    return Atomics.load(this.#shared, Shared.thread);
  }

  post(request: ThreadRequest): void {
    this.#worker.postMessage(request);
  }

  /** Blocks this thread until the worker has answered a synchronous request. `goesOn` is asked now and then; false: undefined. */
  postAndWait(request: Request, goesOn: () => boolean): Reply | undefined {
    const replies = this.#openReplies();
    const before = Atomics.load(this.#shared, Shared.answers);
    this.post(request);
    while (Atomics.wait(this.#shared, Shared.answers, before, askEveryMs) === 'timed-out') {
      if (!goesOn()) return undefined;
    }
    return receiveMessageOnPort(replies)?.message as Reply | undefined;
  }

  #openReplies(): MessagePort {
    if (this.#replies !== undefined) return this.#replies;
    const { port1, port2 } = new MessageChannel();
    const request: ThreadRequest = { kind: 'replies', port: port2 };
    this.#worker.postMessage(request, [port2]);
    // It is only read from: alone it keeps no process alive.
    port1.unref();
    this.#replies = port1;
    return port1;
  }

  ref(): void {
    clearTimeout(this.#resting);
    this.#worker.ref();
  }

  /** It has nothing to do: when it has been quiet it keeps the process alive no longer. */
  unref(): void {
    clearTimeout(this.#resting);
    this.#resting = setTimeout(() => this.#worker.unref(), quietMs);
  }

  /** Resolves when it has ended: what it works on is given up, and then it has been quiet. */
  async end(): Promise<void> {
    this.#owner = undefined;
    // A thread that is ending keeps the process alive, or it could end before an awaited dispose is through.
    this.ref();
    this.#replies?.close();
    Atomics.store(this.#shared, Shared.ending, 1);
    this.post({ kind: 'end' });
    const timer = setTimeout(() => void this.#worker.terminate(), mostEndingMs);
    await this.#gone;
    clearTimeout(timer);
  }

  #failed(error: KvasirError): void {
    clearTimeout(this.#resting);
    this.#owner?.ended(error);
    this.#owner = undefined;
  }
}

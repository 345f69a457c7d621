/**
 * The worker thread that one tokenizer lives on. Starting one takes tens of milliseconds and leaves a little memory behind
 * in Node each time, so a thread that a tokenizer has left waits a while for the next.
 */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from 'node:worker_threads';
import { KvasirError } from '../errors.js';
import type { EncodeReply, ThreadRequest, WorkerMessage, WorkerStart } from './protocol.js';

/** How long a thread waits for its next tokenizer. */
const idleMs = 10_000;

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

/** Who hears of the thread. */
export interface ThreadOwner {
  receive(message: WorkerMessage): void;
  /** The thread ended by itself. */
  ended(error: KvasirError): void;
}

/** At most one waits. */
let idle: { thread: TokenizerThread; timer: NodeJS.Timeout } | undefined;

export class TokenizerThread {
  readonly #worker: Worker;
  /** [1] counts the answers to synchronous requests. */
  readonly #wake = new SharedArrayBuffer(4);
  /** Opened for the first synchronous request: it takes milliseconds, which a load has not. */
  #replies: MessagePort | undefined;
  #owner: ThreadOwner | undefined;
  #nextId = 0;

  /** One that waits, or a new one. It keeps the process alive until `unref`. */
  static take(owner: ThreadOwner): TokenizerThread {
    const waiting = idle;
    idle = undefined;
    if (waiting !== undefined) clearTimeout(waiting.timer);
    const thread = waiting?.thread ?? new TokenizerThread();
    thread.#owner = owner;
    thread.ref();
    return thread;
  }

  private constructor() {
    const workerData: WorkerStart = { wake: this.#wake };
    // Nothing is printed there: without a pipe this thread's own stdout need not be opened for it.
    this.#worker = new Worker(workerFile(), { workerData, execArgv: [], stdout: true });
    this.#worker.on('message', (message: WorkerMessage) => this.#owner?.receive(message));
    this.#worker.on('error', (cause) => {
      this.#end(new KvasirError('INTERNAL', `The tokenizer thread failed: ${cause.message}`, { cause }));
    });
    this.#worker.on('exit', (code) => {
      this.#end(new KvasirError('INTERNAL', `The tokenizer thread ended unexpectedly (exit code ${code}).`));
    });
  }

  /** Never given twice, also when the tokenizer changes: late answers find nobody. */
  nextId(): number {
    return this.#nextId++;
  }

  post(request: ThreadRequest): void {
    this.#worker.postMessage(request);
  }

  /** Blocks this thread until the worker has answered a synchronous request, or died: then undefined. */
  postAndWait(request: ThreadRequest, longestMs: number): EncodeReply | undefined {
    const replies = this.#openReplies();
    const counter = new Int32Array(this.#wake);
    const before = Atomics.load(counter, 0);
    this.post(request);
    Atomics.wait(counter, 0, before, longestMs);
    return receiveMessageOnPort(replies)?.message as EncodeReply | undefined;
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
    this.#worker.ref();
  }

  unref(): void {
    this.#worker.unref();
  }

  /** For a tokenizer that stands and has nothing to do. Another one may come. */
  async release(): Promise<void> {
    this.#owner = undefined;
    if (idle !== undefined) return this.terminate();
    this.post({ kind: 'close' });
    const timer = setTimeout(() => {
      idle = undefined;
      void this.terminate();
    }, idleMs);
    timer.unref();
    this.unref();
    idle = { thread: this, timer };
  }

  async terminate(): Promise<void> {
    this.#owner = undefined;
    // A thread that is ending keeps the process alive, or it could end before an awaited dispose is through.
    this.ref();
    this.#replies?.close();
    await this.#worker.terminate();
  }

  #end(error: KvasirError): void {
    if (idle?.thread === this) {
      clearTimeout(idle.timer);
      idle = undefined;
    }
    this.#owner?.ended(error);
    this.#owner = undefined;
  }
}

/**
 * Makes the tables of grammars on a thread of their own, one at a time: schemas come from strangers, and neither what their
 * combinations become nor their regular expressions may hold the event loop. One that takes too long ends with its thread.
 */
import { Worker } from 'node:worker_threads';
import { KvasirError, type KvasirErrorCode } from '../errors.js';
import type { GrammarTable } from '../native.js';
import { compiledFile } from '../package-root.js';
import { quietMs } from '../quiet.js';
import type { AnswerTask } from './answer-shape.js';

/** What the thread answers. */
export type Converted =
  | { table: GrammarTable }
  | { error: { code: string; message: string; details: Record<string, number | string> } };

interface Job {
  task: AnswerTask;
  resolve: (table: GrammarTable) => void;
  reject: (error: KvasirError) => void;
}

/** Grammars of schemas within their budgets take less than one, on a slow machine too. */
const longestMs = 10_000;
/** A thread that has nothing to do for so long ends. */
const idleMs = 30_000;
const resourceLimits = { maxOldGenerationSizeMb: 512 };

function limitExceeded(what: string): KvasirError {
  return new KvasirError('LIMIT_EXCEEDED', `The schema or grammar takes ${what}.`);
}

export class Converter {
  readonly #waiting: Job[] = [];
  #current: Job | undefined;
  #worker: Worker | undefined;
  #timer: NodeJS.Timeout | undefined;

  /** @param longest milliseconds that one may take. */
  constructor(readonly longest = longestMs) {}

  convert(task: AnswerTask): Promise<GrammarTable> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ task, resolve, reject });
      this.#next();
    });
  }

  #next(): void {
    if (this.#current !== undefined) return;
    this.#current = this.#waiting.shift();
    const worker = this.#worker;
    if (this.#current === undefined) {
      this.#rest(worker);
      return;
    }
    try {
      const running = worker ?? this.#start();
      running.ref();
      running.postMessage(this.#current.task);
      this.#timeIn(this.longest, () => {
        this.#end();
        this.#settle(limitExceeded(`longer than ${this.longest / 1000} s to compile`));
      });
    } catch (cause) {
      const error = new KvasirError('INTERNAL', 'The thread of grammars does not start.', { cause });
      this.#settle(cause instanceof KvasirError ? cause : error);
    }
  }

  /** A thread with nothing to do keeps the process alive until it is quiet, and ends some time later. */
  #rest(worker: Worker | undefined): void {
    this.#timeIn(quietMs, () => {
      worker?.unref();
      this.#timeIn(idleMs, () => this.#end());
      this.#timer?.unref();
    });
    if (worker === undefined) this.#timer?.unref();
  }

  #start(): Worker {
    const file = compiledFile('structure', 'conversion-worker.js');
    const worker = new Worker(file, { execArgv: [], stdout: true, stderr: true, resourceLimits });
    this.#worker = worker;
    worker.on('message', (converted: Converted) => {
      if (this.#worker !== worker) return;
      if ('table' in converted) this.#settle(undefined, converted.table);
      else {
        const { code, message, details } = converted.error;
        this.#settle(new KvasirError(code as KvasirErrorCode, message, { details }));
      }
    });
    const failed = (cause?: Error): void => {
      if (this.#worker !== worker) return;
      this.#worker = undefined;
      const isMemory = cause !== undefined && 'code' in cause && cause.code === 'ERR_WORKER_OUT_OF_MEMORY';
      const error = new KvasirError('INTERNAL', 'The thread of grammars has failed.', { cause });
      this.#settle(isMemory ? limitExceeded('more memory than its thread has') : error);
    };
    worker.on('error', failed);
    worker.on('exit', () => failed());
    return worker;
  }

  #settle(error: KvasirError | undefined, table?: GrammarTable): void {
    const job = this.#current;
    this.#current = undefined;
    if (table) job?.resolve(table);
    else job?.reject(error!);
    this.#next();
  }

  #timeIn(milliseconds: number, act: () => void): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(act, milliseconds);
  }

  #end(): void {
    const worker = this.#worker;
    this.#worker = undefined;
    void worker?.terminate();
  }
}

const converter = new Converter();

/** Rejects with INVALID_OPTION and LIMIT_EXCEEDED. */
export function convertTask(task: AnswerTask): Promise<GrammarTable> {
  return converter.convert(task);
}

/**
 * How long a thread has worked on one request, and how long it may: in its own processor time where the system tells, so
 * that a busy machine ends nothing that would have come.
 */
import { readFileSync } from 'node:fs';

/** Milliseconds that any text may take, and more for its length: twenty times what the slowest vocabulary needs. */
const anyText = 4000;
const perUnit = 0.02;
/** A template may do much for each message. */
const perMessage = 1;
/** Of building a tokenizer, and more for the bytes of its file. */
const anyTokenizer = 6000;
const perFileByte = 0.0005;
/** Until a request that was given up has to be gone. */
export const leavingMs = 300;
/** A thread that gets no processor is given up after this many times its time. */
const mostWaiting = 10;

export function allowedForText(units: number): number {
  return anyText + perUnit * units;
}

export function allowedForChat(messages: number, units: number): number {
  return allowedForText(units) + perMessage * messages;
}

export function allowedForTokenizer(bytes: number): number {
  return anyTokenizer + perFileByte * bytes;
}

/** Milliseconds. undefined: the system does not tell; NaN: there is no such thread. */
function processorTime(thread: number): number | undefined {
  if (thread === 0) return undefined;
  try {
    return Number(readFileSync(`/proc/self/task/${thread}/schedstat`, 'utf8').split(' ')[0]) / 1e6;
  } catch (cause) {
    return (cause as NodeJS.ErrnoException).code === 'ENOENT' && hasThreads() ? Number.NaN : undefined;
  }
}

/** Whether the system shows a process its threads. */
function hasThreads(): boolean {
  try {
    readFileSync('/proc/self/schedstat');
    return true;
  } catch {
    return false;
  }
}

/** The work of a thread on one request. */
export class WorkTime {
  readonly #began = performance.now();
  readonly #processor: number | undefined;

  /** `thread`: 0 where it is not known. */
  constructor(
    readonly id: number,
    readonly thread: number,
  ) {
    this.#processor = processorTime(thread);
  }

  /** Milliseconds that are left of those allowed; 0: it is over. */
  left(allowed: number): number {
    const waited = performance.now() - this.#began;
    const now = processorTime(this.thread);
    if (Number.isNaN(now) || waited >= mostWaiting * allowed) return 0;
    const used = now === undefined || this.#processor === undefined ? waited : now - this.#processor;
    return Math.max(0, allowed - used);
  }
}

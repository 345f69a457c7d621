/**
 * The bounds of what a thread does for one request. It can be given up anywhere: every loop that a text can make long asks
 * `checkStopped`. No text, word or list of tokens grows beyond what is here, whatever a definition makes of a text.
 */
import { getHeapStatistics } from 'node:v8';
import { KvasirError } from '../errors.js';

/** Bytes that the objects and strings of this thread may take. One large block too many ends the process, not the thread. */
export const heapBytes = getHeapStatistics().heap_size_limit;

/** UTF-16 units of a text, and of what any normalizer or pre-tokenizer makes of it: a few such strings fit the heap. */
export const longestText = Math.min(2 ** 26, 2 ** Math.floor(Math.log2(heapBytes / 16)));
/** UTF-16 units of what a model is given as one word. */
export const longestWord = 2 ** 22;
/** Tokens of a text. */
export const mostTokens = 2 ** 26;

/** Thrown when `stopped` says so. */
export class EncodingStopped extends Error {}

/** Of the request that this thread works on: it has one at a time. */
let stopped: (() => boolean) | undefined;

/** `asked` says whether to give up what `run` does. */
export function stoppable<Result>(asked: (() => boolean) | undefined, run: () => Result): Result {
  const before = stopped;
  stopped = asked ?? before;
  try {
    return run();
  } finally {
    stopped = before;
  }
}

/** Throws EncodingStopped. */
export function checkStopped(): void {
  if (stopped?.()) throw new EncodingStopped();
}

export function limitExceeded(what: string): KvasirError {
  return new KvasirError('LIMIT_EXCEEDED', `${what}. Give it a shorter text.`);
}

/** Before a text of so many UTF-16 units is made. */
export function checkTextLength(length: number): void {
  if (length > longestText) {
    throw limitExceeded(`The tokenizer makes more than ${longestText} characters of this text`);
  }
}

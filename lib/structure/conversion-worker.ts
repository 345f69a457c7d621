/** What runs on the thread of grammars: it is sent tasks and answers with tables or errors. */
import { setPriority } from 'node:os';
import { parentPort } from 'node:worker_threads';
import { isKvasirError } from '../errors.js';
import { answerTable } from './answer-grammar.js';
import type { AnswerTask } from './answer-shape.js';
import type { Converted } from './converter.js';

// There a priority belongs to a thread, and 0 names the calling one: the main thread's event loop goes first.
if (process.platform === 'linux') setPriority(0, 5);

const port = parentPort!;

function converted(task: AnswerTask): Converted {
  try {
    return { table: answerTable(task) };
  } catch (cause) {
    if (isKvasirError(cause)) {
      const { code, message, details } = cause;
      return { error: { code, message, details } };
    }
    // The stack, an array or a string has become too large.
    const code = cause instanceof RangeError ? 'LIMIT_EXCEEDED' : 'INTERNAL';
    const what = cause instanceof Error ? cause.message : String(cause);
    return { error: { code, message: `The grammar could not be made: ${what}.`, details: {} } };
  }
}

port.on('message', (task: AnswerTask) => {
  const answer = converted(task);
  const buffers =
    'table' in answer
      ? Object.values(answer.table).map((view: ArrayBufferView) => view.buffer as ArrayBuffer)
      : [];
  port.postMessage(answer, buffers);
});

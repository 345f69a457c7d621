/** Whether the values of a JSON text fit this thread's heap: it is known before the first of them is made. */
import { KvasirError } from '../errors.js';
import { heapBytes } from './work.js';

const comma = 0x2c;
/** Bytes of a value with its place in an array or an object, and of each byte of the text. */
const perValue = 72;
const perByte = 3;
/** Throws LIMIT_EXCEEDED. */
export function checkJsonSize(bytes: Uint8Array): void {
  // Each value but the first has a comma, and a byte of its own at least.
  if (neededFor(1 + bytes.length / 2, bytes.length) <= heapBytes / 2) return;
  let values = 1;
  for (let i = 0; i < bytes.length; ++i) if (bytes[i] === comma) ++values;
  const needed = neededFor(values, bytes.length);
  if (needed <= heapBytes / 2) return;
  throw new KvasirError(
    'LIMIT_EXCEEDED',
    `JSON of ${bytes.length} bytes with ${values} values takes ${needed} bytes of memory; a thread has ${Math.floor(heapBytes / 2)} for it (--max-old-space-size gives more).`,
    { details: { required: needed, available: Math.floor(heapBytes / 2) } },
  );
}

/** The same of a text that is no file. */
export function checkJsonText(text: string): void {
  // Three bytes of UTF-8 at most for a unit.
  const most = 3 * text.length;
  if (neededFor(1 + most / 2, most) > heapBytes / 2) checkJsonSize(Buffer.from(text));
}

function neededFor(values: number, bytes: number): number {
  return perValue * values + perByte * bytes;
}

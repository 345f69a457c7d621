/** Whether the values of a JSON text fit this thread's heap: it is known before the first of them is made. */
import { KvasirError } from '../errors.js';
import { heapBytes } from './work.js';

const comma = 0x2c;
/** Bytes of a value with its place in an array or an object, and of each byte of the text. */
const perValue = 72;
const perByte = 3;
/** Below this nobody counts. */
const small = 2 ** 20;

/** Throws LIMIT_EXCEEDED. */
export function checkJsonSize(bytes: Uint8Array): void {
  if (bytes.length < small) return;
  let values = 1;
  for (let i = 0; i < bytes.length; ++i) if (bytes[i] === comma) ++values;
  const needed = perValue * values + perByte * bytes.length;
  if (needed <= heapBytes / 2) return;
  throw new KvasirError(
    'LIMIT_EXCEEDED',
    `JSON of ${bytes.length} bytes with ${values} values takes ${needed} bytes of memory; a thread has ${Math.floor(heapBytes / 2)} for it (--max-old-space-size gives more).`,
    { details: { required: needed, available: Math.floor(heapBytes / 2) } },
  );
}

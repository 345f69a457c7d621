/** Words as the UTF-8 of GPT-2's spelling of their UTF-8. */
import { characterOf } from '../byte-spelling.js';

const encoder = new TextEncoder();
/** Code unit that stands for each byte: all are below U+0144. */
const unitOfByte = Uint16Array.from({ length: 256 }, (_, byte) => characterOf(byte).charCodeAt(0));

/** Writes the spelling of a word to `out` and gives the number of bytes. */
export function spelledBytes(word: string, out: Uint8Array): number {
  let length = 0;
  for (const byte of encoder.encode(word)) {
    const unit = unitOfByte[byte]!;
    if (unit < 0x80) {
      out[length++] = unit;
      continue;
    }
    out[length++] = 0xc0 | (unit >> 6);
    out[length++] = 0x80 | (unit & 0x3f);
  }
  return length;
}

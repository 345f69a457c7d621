/** The tokens of a GGUF file by id, as the UTF-8 that it has them in; a string is made of one when it is asked for. */
import { isUtf8 } from 'node:buffer';
import type { PackedStrings } from '../native.js';
import { TokenIndex } from './models/token-index.js';

const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

export class TokenList {
  /** Token i is bytes[offsets[i], offsets[i + 1]). */
  readonly bytes: Uint8Array;
  /** uint32 [length + 1]. */
  readonly offsets: Uint32Array;

  constructor(strings: PackedStrings) {
    const { bytes, offsets } = isText(strings) ? strings : repaired(strings);
    this.bytes = bytes;
    this.offsets = offsets;
  }

  get length(): number {
    return this.offsets.length - 1;
  }

  text(id: number): string {
    return decoder.decode(this.bytes.subarray(this.offsets[id], this.offsets[id + 1]));
  }

  texts(): string[] {
    return Array.from({ length: this.length }, (_, id) => this.text(id));
  }

  /** The first id of a token, or -1. */
  indexOf(text: string): number {
    const wanted = Buffer.from(text);
    for (let id = 0; id < this.length; ++id) {
      if (wanted.equals(this.bytes.subarray(this.offsets[id], this.offsets[id + 1]))) return id;
    }
    return -1;
  }

  /** Of all, or of those that `accepts` takes. The first of equal tokens counts. */
  index(accepts?: (id: number) => boolean): TokenIndex {
    const { bytes, offsets, length } = this;
    const index = new TokenIndex(length, bytes.length);
    for (let id = 0; id < length; ++id) {
      if (accepts === undefined || accepts(id))
        index.addBytes(bytes, offsets[id]!, offsets[id + 1]!, id, false);
    }
    return index;
  }
}

/** Every string is UTF-8 by itself. */
function isText({ bytes, offsets }: PackedStrings): boolean {
  if (!isUtf8(bytes)) return false;
  for (const offset of offsets) if ((bytes[offset]! & 0xc0) === 0x80) return false;
  return true;
}

/** With U+FFFD for what is none. */
function repaired({ bytes, offsets }: PackedStrings): PackedStrings {
  const strings = Array.from({ length: offsets.length - 1 }, (_, i) =>
    Buffer.from(decoder.decode(bytes.subarray(offsets[i], offsets[i + 1]))),
  );
  const places = new Uint32Array(offsets.length);
  strings.forEach((string, i) => {
    places[i + 1] = places[i]! + string.length;
  });
  return { bytes: Buffer.concat(strings), offsets: places };
}

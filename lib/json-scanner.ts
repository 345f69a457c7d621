/**
 * Walks over the UTF-8 of a JSON text without making values of it. It reads the plain forms, strictly, and throws `NotPlain` at
 * everything else, damaged JSON among it: then `JSON.parse` has to say what the text means, or what is wrong with it.
 */

export class NotPlain extends Error {}

export const byteOf = {
  quote: 0x22,
  comma: 0x2c,
  colon: 0x3a,
  openArray: 0x5b,
  closeArray: 0x5d,
  openObject: 0x7b,
  closeObject: 0x7d,
} as const;

const backslash = 0x5c;
/** What a backslash and this byte stand for; 0: no such escape. */
const escapes = new Uint8Array(256);
for (const [letter, byte] of Object.entries({
  b: 8,
  t: 9,
  n: 10,
  f: 12,
  r: 13,
  '"': 34,
  '/': 47,
  '\\': 92,
})) {
  escapes[letter.charCodeAt(0)] = byte;
}
const replacement = 0xfffd;

export class JsonScanner {
  at = 0;
  /** The last string is text[start, end). */
  text: Uint8Array;
  start = 0;
  end = 0;
  /** Strings with escapes. */
  #unescaped = new Uint8Array(1024);

  constructor(readonly bytes: Uint8Array) {
    this.text = bytes;
  }

  /** The next byte that is no white space, which is not taken. */
  peek(): number {
    const { bytes } = this;
    for (let at = this.at; at < bytes.length; ++at) {
      const byte = bytes[at]!;
      if (byte <= 0x20 && (byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09)) continue;
      this.at = at;
      return byte;
    }
    throw new NotPlain();
  }

  take(expected: number): void {
    if (this.peek() !== expected) throw new NotPlain();
    ++this.at;
  }

  /** After an element: whether a comma brings another; else the bracket is taken. */
  more(close: number): boolean {
    const byte = this.peek();
    if (byte !== byteOf.comma && byte !== close) throw new NotPlain();
    ++this.at;
    return byte === byteOf.comma;
  }

  /** Opens an array or object. True: it has elements; else it is closed too. */
  enter(open: number, close: number): boolean {
    this.take(open);
    if (this.peek() !== close) return true;
    ++this.at;
    return false;
  }

  string(): void {
    this.take(byteOf.quote);
    const { bytes } = this;
    const start = this.at;
    for (let at = start; at < bytes.length; ++at) {
      const byte = bytes[at]!;
      if (byte === byteOf.quote) {
        this.text = bytes;
        this.start = start;
        this.end = at;
        this.at = at + 1;
        return;
      }
      if (byte < 0x20) break;
      if (byte === backslash) {
        this.#escaped(start, at);
        return;
      }
    }
    throw new NotPlain();
  }

  /** The last string in bytes that the next string leaves as they are: those of the text, or its own. */
  keep(): Uint8Array {
    if (this.text === this.bytes) return this.bytes;
    this.text = this.text.slice(0, this.end);
    return this.text;
  }

  /** A string that has its first backslash at `at`. */
  #escaped(start: number, at: number): void {
    const { bytes } = this;
    let out = this.#room(at - start);
    let length = 0;
    for (let i = start; i < at; ++i) out[length++] = bytes[i]!;
    this.at = at;
    while (this.at < bytes.length) {
      if (length + 4 > out.length) out = this.#room(2 * out.length);
      const byte = bytes[this.at++]!;
      if (byte === byteOf.quote) {
        this.text = out;
        this.start = 0;
        this.end = length;
        return;
      }
      if (byte < 0x20) break;
      if (byte !== backslash) out[length++] = byte;
      else length = this.#escape(out, length);
    }
    throw new NotPlain();
  }

  /** One escape, behind its backslash. Half a surrogate pair becomes U+FFFD, as in all UTF-8 that is made of strings. */
  #escape(out: Uint8Array, length: number): number {
    const letter = this.bytes[this.at++] ?? 0;
    if (letter !== 0x75) {
      const byte = escapes[letter]!;
      if (byte === 0) throw new NotPlain();
      out[length] = byte;
      return length + 1;
    }
    const unit = this.#unit(this.at);
    this.at += 4;
    if (unit < 0xd800 || unit > 0xdfff) return writePoint(out, length, unit);
    const pairs = unit < 0xdc00 && this.bytes[this.at] === backslash && this.bytes[this.at + 1] === 0x75;
    const low = pairs ? this.#unit(this.at + 2) : 0;
    if (low < 0xdc00 || low > 0xdfff) return writePoint(out, length, replacement);
    this.at += 6;
    return writePoint(out, length, 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00));
  }

  /** Four hex digits. */
  #unit(at: number): number {
    let unit = 0;
    for (let i = at; i < at + 4; ++i) {
      const byte = this.bytes[i] ?? 0;
      const letter = byte | 0x20;
      if (byte >= 0x30 && byte <= 0x39) unit = 16 * unit + byte - 0x30;
      else if (letter >= 0x61 && letter <= 0x66) unit = 16 * unit + letter - 0x57;
      else throw new NotPlain();
    }
    return unit;
  }

  #room(bytes: number): Uint8Array {
    if (bytes + 4 > this.#unescaped.length) {
      const larger = new Uint8Array(2 * (bytes + 4));
      larger.set(this.#unescaped);
      this.#unescaped = larger;
    }
    return this.#unescaped;
  }

  /** A number of digits alone, without leading zeros; at most `most`, which has at most 15 digits. */
  wholeNumber(most: number): number {
    const first = this.peek();
    const { bytes } = this;
    let value = 0;
    let at = this.at;
    for (; at < bytes.length; ++at) {
      const digit = bytes[at]! - 0x30;
      if (!(digit >= 0 && digit <= 9)) break;
      value = 10 * value + digit;
      if (value > most) throw new NotPlain();
    }
    const digits = at - this.at;
    if (digits === 0 || (first === 0x30 && digits > 1)) throw new NotPlain();
    this.at = at;
    return value;
  }

  /**
   * A value of any kind, of which only strings and brackets are looked at: whether it is JSON the caller has to find out by
   * other means.
   */
  skip(): void {
    let depth = 0;
    do {
      const byte = this.peek();
      if (byte === byteOf.quote) this.#skipString();
      else {
        ++this.at;
        if (byte === byteOf.openArray || byte === byteOf.openObject) ++depth;
        else if (byte === byteOf.closeArray || byte === byteOf.closeObject) --depth;
        else if (depth === 0) this.#skipWord();
      }
      if (depth < 0) throw new NotPlain();
    } while (depth > 0);
  }

  #skipString(): void {
    const { bytes } = this;
    for (let at = this.at + 1; at < bytes.length; ++at) {
      const byte = bytes[at]!;
      if (byte === backslash) ++at;
      else if (byte === byteOf.quote) {
        this.at = at + 1;
        return;
      }
    }
    throw new NotPlain();
  }

  /** The rest of a number, true, false or null. */
  #skipWord(): void {
    const { bytes } = this;
    for (; this.at < bytes.length; ++this.at) {
      const byte = bytes[this.at]!;
      if (byte <= 0x20 || byte === byteOf.comma || byte === byteOf.closeArray || byte === byteOf.closeObject)
        return;
    }
  }
}

function writePoint(out: Uint8Array, length: number, point: number): number {
  let at = length;
  if (point < 0x80) {
    out[at++] = point;
    return at;
  }
  if (point < 0x800) out[at++] = 0xc0 | (point >> 6);
  else {
    if (point < 0x10000) out[at++] = 0xe0 | (point >> 12);
    else {
      out[at++] = 0xf0 | (point >> 18);
      out[at++] = 0x80 | ((point >> 12) & 0x3f);
    }
    out[at++] = 0x80 | ((point >> 6) & 0x3f);
  }
  out[at++] = 0x80 | (point & 0x3f);
  return at;
}

/** Hashes of parts of a text, each in a few operations however long it is. */

const base = 0x01000193;

export class TextHashes {
  #before: Int32Array | undefined;

  constructor(readonly text: string) {}

  /**
   * Of the text before each place, int32 [text.length + 1]; the hash of text[start, end) is
   * before[end] - before[start] * power(end - start), modulo 2^32. Made when it is first asked for.
   */
  get before(): Int32Array {
    this.#before ??= beforeEach(this.text);
    return this.#before;
  }

  static power(length: number): number {
    let power = 1;
    for (let i = 0; i < length; ++i) power = Math.imul(power, base);
    return power;
  }
}

function beforeEach(text: string): Int32Array {
  const before = new Int32Array(text.length + 1);
  for (let i = 0; i < text.length; ++i) before[i + 1] = Math.imul(before[i]!, base) + text.charCodeAt(i) + 1;
  return before;
}

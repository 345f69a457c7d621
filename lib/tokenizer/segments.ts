/** Text in segments: what a chat template wrote, and what the contents of messages put into it. */

/**
 * A rendered chat for `encodeSegments`. The texts are joined, and normalizer, pre-tokenizer and model see one text, as if it
 * had come whole: no token ends because a segment does. But an added token that is special counts only where none of its
 * characters, as written, comes from a segment with `content: true`; elsewhere its spelling is plain text. Added tokens that
 * are not special count everywhere. A special token that the definition looks for after normalizing is looked for as it is
 * written instead, so that no normalizer can make one out of content. Empty segments are allowed.
 */
export interface TextSegment {
  text: string;
  /** From the content of a message, a tool or a document: never a special token. */
  content: boolean;
}

/** Which units of the joined text come from contents. */
export class ContentRanges {
  readonly text: string;
  /** Ends of runs of one kind, which take turns; the first is not content. */
  readonly #ends: number[] = [0];

  constructor(segments: readonly TextSegment[]) {
    let at = 0;
    for (const { text, content } of segments) {
      at += text.length;
      const last = this.#ends.length % 2 === 0;
      if (last === content) this.#ends[this.#ends.length - 1] = at;
      else if (text !== '') this.#ends.push(at);
    }
    this.text = segments.map(({ text }) => text).join('');
  }

  /** Whether text[start, end) has any content in it. */
  overlaps(start: number, end: number): boolean {
    // The first run that ends behind `start`.
    let [low, high] = [0, this.#ends.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#ends[middle]! <= start) low = middle + 1;
      else high = middle;
    }
    return low % 2 === 1 || (this.#ends[low] ?? Number.POSITIVE_INFINITY) < end;
  }
}

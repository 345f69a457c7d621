/** From bytes of a piece, as models count, to offsets in the original text. */
import { type AlignedText, pointAt, widthOf } from './aligned-text.js';
import type { TokenSink } from './models/model.js';
import { utf8Length } from './utf8.js';

/** Turns the spans of the tokens from `first` on, all of the piece source.text[from, to), into offsets. */
export function placeTokens(
  tokens: TokenSink,
  first: number,
  source: AlignedText,
  from: number,
  to: number,
): void {
  const { text, starts, ends } = source;
  const spans = tokens.spans!;
  // The unit that `byte` bytes of the piece lead to.
  let unit = from;
  let byte = 0;
  const unitOf = (wanted: number): number => {
    if (wanted < byte) {
      unit = from;
      byte = 0;
    }
    while (unit < to) {
      const point = pointAt(text, unit);
      if (byte + utf8Length(point) > wanted) break;
      byte += utf8Length(point);
      unit += widthOf(point);
    }
    return unit;
  };
  for (let i = first; i < tokens.count; ++i) {
    const start = unitOf(spans[2 * i]!);
    const last = unitOf(spans[2 * i + 1]! - 1);
    if (start >= to || last >= to) continue;
    spans[2 * i] = starts![start]!;
    spans[2 * i + 1] = ends![last]!;
  }
}

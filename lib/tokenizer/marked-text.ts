/** A rendered chat whose contents carry marks: the text as it was written, and where no special token may be. */
import type { ContentMarks } from './content-marks.js';

export interface MarkedText {
  text: string;
  /** Whether text[start, end) has a mark inside, or stands for a token of one character that a content spelled. */
  overlaps(start: number, end: number): boolean;
}

/** Stands for a special token of one character: mark + (base + index in the list). */
const singleBase = 0xf0000;

export function readMarks(marked: string, { mark, singles }: ContentMarks): MarkedText {
  const points: number[] = [];
  let text = '';
  const parts = marked.split(mark);
  parts.forEach((part, i) => {
    const single = i === 0 ? undefined : singles[(part.codePointAt(0) ?? 0) - singleBase];
    if (i > 0) points.push(text.length);
    if (single === undefined) {
      text += part;
      return;
    }
    // Half a unit in: whatever holds the character holds the mark.
    points[points.length - 1] = text.length + 0.5;
    text += single + part.slice(2);
  });
  return {
    text,
    overlaps(start, end) {
      let [low, high] = [0, points.length];
      while (low < high) {
        const middle = (low + high) >> 1;
        if (points[middle]! <= start) low = middle + 1;
        else high = middle;
      }
      return low < points.length && points[low]! < end;
    },
  };
}

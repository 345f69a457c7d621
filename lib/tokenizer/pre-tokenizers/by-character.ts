/** Pre-tokenizers that ask of one character after the other. */
import { pointAt, widthOf } from '../aligned-text.js';
import { scanningFinder, type Finder } from '../patterns/finder.js';
import { pointBefore } from '../patterns/word-scanner.js';
import { whiteSpaceSet, wordSet } from '../unicode/classes.js';
import { scripts } from '../unicode/scripts.js';
import { Bounds, type PreTokenizer } from './pieces.js';

/** Each character of a kind is a match of its own. */
export function characterFinder(has: (point: number) => boolean): Finder {
  return scanningFinder((text, at, to) => {
    const point = pointBefore(text, at, to);
    return has(point) ? at + widthOf(point) : -1;
  });
}

/** Runs of word characters, and runs of what is neither those nor white space. */
export const wordFinder = scanningFinder((text, at, to) => {
  const isWord = wordSet.has(pointBefore(text, at, to));
  let end = at;
  while (end < to) {
    const point = pointBefore(text, end, to);
    if (wordSet.has(point) !== isWord || (!isWord && whiteSpaceSet.has(point))) break;
    end += widthOf(point);
  }
  return end > at ? end : -1;
});

export function fixedLength(length: number): PreTokenizer {
  return ({ source, bounds }) => {
    const parts = new Bounds();
    for (let i = 0; i < bounds.count; ++i) {
      const to = bounds.end(i);
      for (let at = bounds.start(i); at < to; ) {
        let end = at;
        for (let n = 0; n < length && end < to; ++n) end += widthOf(pointAt(source.text, end));
        parts.push(at, end);
        at = end;
      }
    }
    return { source, bounds: parts };
  };
}

let scriptTable: Uint8Array | undefined;

/** By code point, uint8 [0x110000]; 0 belongs to all. */
function scriptsByPoint(): Uint8Array {
  if (scriptTable !== undefined) return scriptTable;
  scriptTable = new Uint8Array(0x110000);
  let at = 0;
  for (const run of scripts.split(',')) {
    const [distance, script] = run.split(':').map((part) => Number.parseInt(part, 36));
    scriptTable.fill(script!, at, at + distance!);
    at += distance!;
  }
  return scriptTable;
}

/** A piece begins where the script changes; what stands before the first script is dropped, as in the reference. */
export const unicodeScripts: PreTokenizer = ({ source, bounds }) => {
  const table = scriptsByPoint();
  const parts = new Bounds();
  for (let i = 0; i < bounds.count; ++i) {
    let start = -1;
    let last = -1;
    for (let at = bounds.start(i); at < bounds.end(i); ) {
      const point = pointAt(source.text, at);
      const script = table[point]!;
      if (script !== 0 && script !== last) {
        if (start >= 0) parts.push(start, at);
        start = at;
        last = script;
      }
      at += widthOf(point);
    }
    if (start >= 0) parts.push(start, bounds.end(i));
  }
  return { source, bounds: parts };
};

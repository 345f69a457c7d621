/** Pre-tokenizers that change the text: spaces put before it, made visible, or bytes spelled as characters. */
import { pointAt, Rewriting, widthOf } from '../aligned-text.js';
import { spellBytes } from '../byte-spelling.js';
import { patternFinder } from '../patterns/finder.js';
import { gpt2Pattern } from '../patterns/known.js';
import { splitter } from './behavior.js';
import { Bounds, type Pieces, type PreTokenizer } from './pieces.js';

function rewritten(pieces: Pieces, each: (rewriting: Rewriting, from: number, to: number) => void): Pieces {
  const rewriting = new Rewriting(pieces.source);
  const bounds = new Bounds();
  for (let i = 0; i < pieces.bounds.count; ++i) {
    const before = rewriting.length;
    each(rewriting, pieces.bounds.start(i), pieces.bounds.end(i));
    bounds.push(before, rewriting.length);
  }
  return { source: rewriting.done(), bounds };
}

/** A space before each piece that has none. */
export const prefixSpace: PreTokenizer = (pieces) =>
  rewritten(pieces, (rewriting, from, to) => {
    if (pieces.source.text[from] !== ' ') rewriting.put(' ', from);
    rewriting.keep(from, to);
  });

/** Each UTF-8 byte as the character that GPT-2 spells it with. */
export const spellPieces: PreTokenizer = (pieces) =>
  rewritten(pieces, (rewriting, from, to) => {
    const { text } = pieces.source;
    for (let at = from; at < to; ) {
      const point = pointAt(text, at);
      rewriting.put(spellBytes(String.fromCodePoint(point)), at);
      at += widthOf(point);
    }
  });

export const gpt2Splitter = splitter(patternFinder(gpt2Pattern), 'Isolated');

export type PrependScheme = 'first' | 'never' | 'always';

/** Where a piece begins in the original. */
function originOf({ source }: Pieces, from: number): number {
  return source.starts ? source.starts[from]! : source.base + from;
}

export function metaspace(replacement: string, scheme: PrependScheme): PreTokenizer {
  return (pieces) => {
    const { text } = pieces.source;
    // The next one from a piece on: pieces come in order.
    let space = text.indexOf(' ');
    return rewritten(pieces, (rewriting, from, to) => {
      const begins = text.startsWith(replacement, from) || text[from] === ' ';
      if (!begins && (scheme === 'always' || (scheme === 'first' && originOf(pieces, from) === 0))) {
        rewriting.put(replacement, from);
      }
      let kept = from;
      if (space >= 0 && space < from) space = text.indexOf(' ', from);
      for (; space >= 0 && space < to; space = text.indexOf(' ', space + 1)) {
        rewriting.keep(kept, space);
        rewriting.put(replacement, space);
        kept = space + 1;
      }
      rewriting.keep(kept, to);
    });
  };
}

/** Finds what a pattern of a definition matches in a stretch of text, as the reference does with Oniguruma. */
import type { CheckedComponent } from '../component.js';
import type { Matches } from './matches.js';
import { knownScanner } from './known.js';
import type { Scanner } from './scanner.js';
import { translatePattern } from './translate.js';
import { checkStopped } from '../work.js';

export { Matches } from './matches.js';

export interface Finder {
  /** An expression that repeats something without bound: its time may grow much faster than the text. */
  readonly repeats: boolean;
  /** All parts of text[from, to), which is not empty, in order: what matches, and what lies between. */
  find(text: string, from: number, to: number, matches: Matches): void;
}

/** A power of two. */
const charactersBetweenChecks = 2 ** 16;

export function scanningFinder(scan: Scanner): Finder {
  return {
    repeats: false,
    find(text, from, to, matches) {
      let gap = from;
      for (let at = from; at < to; ) {
        const end = scan(text, at, to);
        if (end < 0) {
          if (at % charactersBetweenChecks === 0) checkStopped();
          at += text.charCodeAt(at) >> 10 === 0x36 && at + 1 < to ? 2 : 1;
          continue;
        }
        if (gap < at) matches.push(gap, at, false);
        matches.push(at, end, true);
        at = end;
        gap = end;
      }
      if (gap < to) matches.push(gap, to, false);
    },
  };
}

function literalFinder(literal: string): Finder {
  return {
    repeats: false,
    find(text, from, to, matches) {
      // Of the stretch alone: what is looked for behind it is looked for again in the next.
      const part = from === 0 && to === text.length ? text : text.slice(from, to);
      let gap = 0;
      for (;;) {
        const at = part.indexOf(literal, gap);
        if (at < 0) break;
        if (gap < at) matches.push(from + gap, from + at, false);
        gap = at + literal.length;
        matches.push(from + at, from + gap, true);
      }
      if (gap < part.length) matches.push(from + gap, to, false);
    },
  };
}

/** The stretch is the whole text for the pattern: it sees nothing before and after. */
function regexFinder(regex: RegExp): Finder {
  return {
    repeats: /[*+]|\{\d+,\}/.test(regex.source),
    find(text, from, to, matches) {
      const part = from === 0 && to === text.length ? text : text.slice(from, to);
      let gap = 0;
      let lastEnd = -1;
      regex.lastIndex = 0;
      for (;;) {
        const match = regex.exec(part);
        if (match === null) break;
        const start = match.index;
        const end = start + match[0].length;
        if (start === end) regex.lastIndex = end + (part.codePointAt(end)! > 0xffff ? 2 : 1);
        // An empty match right behind another is none.
        if (start === end && lastEnd === end) {
          if (end >= part.length) break;
          continue;
        }
        lastEnd = end;
        if (gap !== start) matches.push(from + gap, from + start, false);
        matches.push(from + start, from + end, true);
        gap = end;
        if (start === end && end >= part.length) break;
      }
      if (gap < part.length) matches.push(from + gap, to, false);
    },
  };
}

/** Of a component with a `pattern`. Throws MODEL_FORMAT. */
export function createFinder(node: CheckedComponent): Finder {
  const pattern = node.fields.pattern as { String?: unknown; Regex?: unknown } | undefined;
  if (typeof pattern?.String === 'string' && pattern.String !== '') return literalFinder(pattern.String);
  const source = pattern?.String === '' ? '' : pattern?.Regex;
  if (typeof source !== 'string') throw node.wrong('pattern', 'a String or a Regex');
  return patternFinder(source);
}

export function patternFinder(source: string): Finder {
  const scanner = knownScanner(source);
  return scanner ? scanningFinder(scanner) : regexFinder(translatePattern(source));
}

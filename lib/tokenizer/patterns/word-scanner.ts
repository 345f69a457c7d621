/**
 * Scanners for the patterns by which byte-level vocabularies part a text into words. The patterns differ in a few points,
 * which are the parameters here; all of them end with the three ways to take white space.
 */
import { flagsOf, letter, mark, number, punctuating, spacing, symbol } from '../unicode/classes.js';
import type { Scanner } from './scanner.js';

const flags = flagsOf();

/** Code point at `at`; half a pair, or one that is cut by `to`, is by itself. */
export function pointBefore(text: string, at: number, to: number): number {
  const unit = text.charCodeAt(at);
  if (unit >> 10 !== 0x36 || at + 1 >= to) return unit;
  const low = text.charCodeAt(at + 1);
  return low >> 10 === 0x37 ? ((unit - 0xd800) << 10) + low - 0xdc00 + 0x10000 : unit;
}

/** The end of the run of code points with any of the flags. */
export function runOf(text: string, from: number, to: number, wanted: number): number {
  let at = from;
  while (at < to) {
    const point = pointBefore(text, at, to);
    if ((flags[point]! & wanted) === 0) break;
    at += point > 0xffff ? 2 : 1;
  }
  return at;
}

export function runWithout(text: string, from: number, to: number, unwanted: number): number {
  let at = from;
  while (at < to) {
    const point = pointBefore(text, at, to);
    if ((flags[point]! & unwanted) !== 0) break;
    at += point > 0xffff ? 2 : 1;
  }
  return at;
}

/** White space: up to its last line end, else all but the last before a word, else all. -1: none. */
export function scanSpace(text: string, at: number, to: number, joinsLines: boolean): number {
  const end = runOf(text, at, to, spacing);
  if (end === at) return -1;
  if (joinsLines) {
    for (let i = end; i > at; --i) {
      const unit = text.charCodeAt(i - 1);
      if (unit === 0x0a || unit === 0x0d) return i;
    }
  }
  return end < to && end - at > 1 ? end - 1 : end;
}

/** `'s`, `'t`, `'re`, `'ve`, `'m`, `'ll`, `'d`. In any case: U+017F is an s too. -1: none. */
export function scanContraction(text: string, at: number, to: number, anyCase: boolean): number {
  if (at + 1 >= to || text.charCodeAt(at) !== 0x27) return -1;
  const fold = anyCase ? 0x20 : 0;
  const first = text.charCodeAt(at + 1);
  if (anyCase && first === 0x17f) return at + 2;
  if (first > 0x7f) return -1;
  const a = first | fold;
  if (a === 0x73 || a === 0x74 || a === 0x6d || a === 0x64) return at + 2;
  if (at + 2 >= to) return -1;
  const second = text.charCodeAt(at + 2);
  if (second > 0x7f) return -1;
  const b = second | fold;
  const found = ((a === 0x72 || a === 0x76) && b === 0x65) || (a === 0x6c && b === 0x6c);
  return found ? at + 3 : -1;
}

export function isLineEnd(point: number): boolean {
  return point === 0x0a || point === 0x0d;
}

/** GPT-2's: a space goes with the letters, digits or signs after it. */
export const scanGpt2: Scanner = (text, at, to) => {
  const contraction = scanContraction(text, at, to, false);
  if (contraction >= 0) return contraction;
  const from = text.charCodeAt(at) === 0x20 && at + 1 < to ? at + 1 : at;
  const kind = flags[pointBefore(text, from, to)]!;
  if ((kind & letter) !== 0) return runOf(text, from, to, letter);
  if ((kind & number) !== 0) return runOf(text, from, to, number);
  if ((kind & spacing) === 0) return runWithout(text, from, to, letter | number | spacing);
  return scanSpace(text, at, to, false);
};

export interface WordPattern {
  contractions: boolean;
  /** `letter`, with `mark` or without. */
  word: number;
  /** At most so many digits together. */
  digits: number;
  /** What ends a run of signs, beside spaces. */
  notSign: number;
  /** A slash goes with a run of signs as line ends do. */
  slash?: boolean;
}

export function scanDigits(text: string, at: number, to: number, most: number): number {
  let end = at;
  for (let count = 0; count < most && end < to; ++count) {
    const point = pointBefore(text, end, to);
    if ((flags[point]! & number) === 0) break;
    end += point > 0xffff ? 2 : 1;
  }
  return end > at ? end : -1;
}

/** Signs after a space or none, with the line ends behind them. -1: none. */
export function scanSigns(text: string, at: number, to: number, notSign: number, slash: boolean): number {
  const from = text.charCodeAt(at) === 0x20 ? at + 1 : at;
  let end = runWithout(text, from, to, notSign | spacing);
  if (end === from) return -1;
  for (; end < to; ++end) {
    const unit = text.charCodeAt(end);
    if (!(isLineEnd(unit) || (slash && unit === 0x2f))) break;
  }
  return end;
}

/** cl100k's and its kin: any one character that is no letter, digit or line end goes with the letters after it. */
export function wordScanner(pattern: WordPattern): Scanner {
  const { contractions, word, digits, notSign, slash = false } = pattern;
  return (text, at, to) => {
    if (contractions) {
      const end = scanContraction(text, at, to, true);
      if (end >= 0) return end;
    }
    const point = pointBefore(text, at, to);
    const kind = flags[point]!;
    const next = at + (point > 0xffff ? 2 : 1);
    if ((kind & (letter | number)) === 0 && !isLineEnd(point)) {
      const end = runOf(text, next, to, word);
      if (end > next) return end;
    }
    if ((kind & word) !== 0) return runOf(text, next, to, word);
    if ((kind & number) !== 0) return scanDigits(text, at, to, digits);
    const signs = scanSigns(text, at, to, notSign, slash);
    return signs >= 0 ? signs : scanSpace(text, at, to, true);
  };
}

function isAsciiLetter(unit: number): boolean {
  return (unit >= 0x41 && unit <= 0x5a) || (unit >= 0x61 && unit <= 0x7a);
}

function isAsciiSign(unit: number): boolean {
  return unit > 0x20 && unit < 0x7f && !isAsciiLetter(unit) && !(unit >= 0x30 && unit <= 0x39);
}

/** DeepSeek's last pattern, after digits and Chinese have been taken out. */
export const scanDeepSeek: Scanner = (text, at, to) => {
  const point = pointBefore(text, at, to);
  const kind = flags[point]!;
  const next = at + (point > 0xffff ? 2 : 1);
  if (isAsciiSign(point) && next < to && isAsciiLetter(text.charCodeAt(next))) {
    let end = next + 1;
    while (end < to && isAsciiLetter(text.charCodeAt(end))) ++end;
    return end;
  }
  if ((kind & (letter | punctuating | symbol)) === 0 && !isLineEnd(point)) {
    const end = runOf(text, next, to, letter | mark);
    if (end > next) return end;
  }
  if ((kind & (letter | mark)) !== 0) return runOf(text, next, to, letter | mark);
  const from = point === 0x20 ? next : at;
  let end = runOf(text, from, to, punctuating | symbol);
  if (end > from) {
    while (end < to && isLineEnd(text.charCodeAt(end))) ++end;
    return end;
  }
  return scanSpace(text, at, to, true);
};

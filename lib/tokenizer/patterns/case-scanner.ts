/** Scanner for the patterns of o200k and its kin, which part a word where lower case is followed by upper case. */
import { flagsOf, letter, lowerLike, number, upperLike } from '../unicode/classes.js';
import type { Scanner } from './scanner.js';
import {
  isLineEnd,
  pointBefore,
  runOf,
  scanContraction,
  scanDigits,
  scanSigns,
  scanSpace,
} from './word-scanner.js';

const flags = flagsOf();

/** Upper case, then at least one of lower case; the upper may give some back. -1: none. */
function lowerWord(text: string, from: number, to: number): number {
  const upper = runOf(text, from, to, upperLike);
  const end = runOf(text, upper, to, lowerLike);
  if (end > upper) return end;
  for (let at = upper; at > from; ) {
    const unit = text.charCodeAt(at - 1);
    const before = unit >> 10 === 0x37 && at - 2 >= from ? at - 2 : at - 1;
    if ((flags[pointBefore(text, before, to)]! & lowerLike) !== 0) return at;
    at = before;
  }
  return -1;
}

/** At least one of upper case, then lower case. -1: none. */
function upperWord(text: string, from: number, to: number): number {
  const upper = runOf(text, from, to, upperLike);
  return upper > from ? runOf(text, upper, to, lowerLike) : -1;
}

export interface CasePattern {
  contractions: boolean;
  digits: number;
}

export function caseScanner({ contractions, digits }: CasePattern): Scanner {
  const withContraction = (text: string, end: number, to: number): number => {
    const longer = contractions ? scanContraction(text, end, to, true) : -1;
    return longer >= 0 ? longer : end;
  };
  return (text, at, to) => {
    const point = pointBefore(text, at, to);
    const next = at + (point > 0xffff ? 2 : 1);
    const leads = (flags[point]! & (letter | number)) === 0 && !isLineEnd(point);
    for (const word of [lowerWord, upperWord]) {
      let end = leads ? word(text, next, to) : -1;
      if (end < 0) end = word(text, at, to);
      if (end >= 0) return withContraction(text, end, to);
    }
    const number_ = scanDigits(text, at, to, digits);
    if (number_ >= 0) return number_;
    const signs = scanSigns(text, at, to, letter | number, true);
    return signs >= 0 ? signs : scanSpace(text, at, to, true);
  };
}

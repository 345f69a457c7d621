/**
 * Classes of characters as the reference knows them, whatever Unicode the runtime has. One byte of flags for each code point
 * serves the scanners; rarer classes are bit sets, made when first asked for.
 */
import {
  categories,
  combiningMarks,
  control,
  nonSpacing,
  numeric,
  punctuation,
  space,
  whiteSpace,
  word,
} from './tables.js';

export const codePoints = 0x110000;

/** Flags of a code point in `flagsOf`. */
export const letter = 1;
export const number = 2;
export const mark = 4;
export const spacing = 8;
/** Lu, Lt, Lm, Lo and marks. */
export const upperLike = 16;
/** Ll, Lm, Lo and marks. */
export const lowerLike = 32;
export const punctuating = 64;
export const symbol = 128;

const flagsOfCategory: Readonly<Record<string, number>> = {
  A: letter | upperLike,
  B: letter | lowerLike,
  C: letter | upperLike,
  D: letter | upperLike | lowerLike,
  E: letter | upperLike | lowerLike,
  M: mark | upperLike | lowerLike,
  N: number,
  K: number,
  O: number,
  P: punctuating,
  S: symbol,
};

let flagTable: Uint8Array | undefined;

function fillFlags(): Uint8Array {
  const table = new Uint8Array(codePoints);
  let at = 0;
  for (const [, distance, category] of categories.matchAll(/([0-9a-z]+)([A-Z-])/g)) {
    const end = at + Number.parseInt(distance!, 36);
    const flags = flagsOfCategory[category!];
    if (flags !== undefined) table.fill(flags, at, end);
    at = end;
  }
  eachRange(space, (from, to) => {
    for (let c = from; c < to; ++c) table[c]! |= spacing;
  });
  return table;
}

/** Flags by code point, uint8 [0x110000]. */
export function flagsOf(): Uint8Array {
  flagTable ??= fillFlags();
  return flagTable;
}

/** Calls with each range [from, to) of a table of distances. */
function eachRange(table: string, each: (from: number, to: number) => void): void {
  let at = 0;
  let from = -1;
  for (const distance of table.split(',')) {
    at += Number.parseInt(distance, 36);
    if (from < 0) from = at;
    else {
      each(from, at);
      from = -1;
    }
  }
}

/** A set of code points. */
export class CharacterSet {
  #bits: Uint8Array | undefined;

  constructor(readonly table: string) {}

  has(point: number): boolean {
    this.#bits ??= this.#fill();
    return (this.#bits[point >> 3]! & (1 << (point & 7))) !== 0;
  }

  #fill(): Uint8Array {
    const bits = new Uint8Array(codePoints / 8);
    eachRange(this.table, (from, to) => {
      for (let c = from; c < to; ++c) bits[c >> 3]! |= 1 << (c & 7);
    });
    return bits;
  }
}

/** White space of Rust's `char::is_whitespace`: with U+0085, without U+FEFF. */
export const whiteSpaceSet = new CharacterSet(whiteSpace);
export const punctuationSet = new CharacterSet(punctuation);
export const numericSet = new CharacterSet(numeric);
export const wordSet = new CharacterSet(word);
export const controlSet = new CharacterSet(control);
export const nonSpacingSet = new CharacterSet(nonSpacing);
export const combiningMarkSet = new CharacterSet(combiningMarks);

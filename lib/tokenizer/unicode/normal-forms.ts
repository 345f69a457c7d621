/**
 * The four normal forms, with the data of Unicode 9 that the reference has: later characters neither decompose nor move.
 * Decompositions and compositions are the runtime's own, which never change for a character once it is there.
 */
import { type AlignedText, type Change, pointAt, transformed, widthOf } from '../aligned-text.js';
import { checkStopped, limitExceeded } from '../work.js';
import { CharacterSet } from './classes.js';
import { combiningClasses, decomposing } from './tables.js';

export type NormalForm = 'NFC' | 'NFD' | 'NFKC' | 'NFKD';

const decomposingSet = new CharacterSet(decomposing);
let classes: Map<number, number> | undefined;

function combiningClass(point: number): number {
  if (point < 0x300) return 0;
  if (classes === undefined) {
    classes = new Map();
    let at = 0;
    for (const run of combiningClasses.split(',')) {
      const [distance, value] = run.split(':').map((part) => Number.parseInt(part, 36));
      for (let c = at; value! > 0 && c < at + distance!; ++c) classes.set(c, value!);
      at += distance!;
    }
  }
  return classes.get(point) ?? 0;
}

function isHangul(point: number): boolean {
  return point >= 0xac00 && point < 0xd7a4;
}

function decompositionOf(character: string, point: number, form: 'NFD' | 'NFKD'): string {
  if (point < 0xa0 || !(isHangul(point) || decomposingSet.has(point))) return character;
  return character.normalize(form);
}

interface Symbol {
  character: string;
  combining: number;
  change: number;
}

/** Characters in canonical order; of a decomposition the first stands for the old character, the others are added. */
function decomposed(text: string, form: 'NFD' | 'NFKD'): Symbol[] {
  const symbols: Symbol[] = [];
  let pending = 0;
  const sort = (): void => {
    if (symbols.length - pending > 1) {
      const sorted = symbols.slice(pending).sort((a, b) => a.combining - b.combining);
      for (let i = 0; i < sorted.length; ++i) symbols[pending + i] = sorted[i]!;
    }
    pending = symbols.length;
  };
  for (const whole of text) {
    let change = 0;
    for (const character of decompositionOf(whole, whole.codePointAt(0)!, form)) {
      const combining = combiningClass(character.codePointAt(0)!);
      if (combining === 0) sort();
      symbols.push({ character, combining, change });
      change = 1;
    }
  }
  sort();
  return symbols;
}

/** The composition of two characters, if there is one. */
function composition(first: string, second: string): string | undefined {
  const point = second.codePointAt(0)!;
  if (point < 0x300) return undefined;
  const together = (first + second).normalize('NFC');
  const composed = together.codePointAt(0)!;
  if (together.length !== widthOf(composed)) return undefined;
  return isHangul(composed) || decomposingSet.has(composed) ? together : undefined;
}

function composed(symbols: readonly Symbol[]): Change[] {
  const changes: Change[] = [];
  let starter: Symbol | undefined;
  let waiting: Symbol[] = [];
  const flush = (): void => {
    if (starter) changes.push([starter.character, starter.change]);
    for (const { character, change } of waiting) changes.push([character, change]);
    waiting = [];
  };
  for (const symbol of symbols) {
    if (starter === undefined) {
      if (symbol.combining === 0) starter = symbol;
      else changes.push([symbol.character, symbol.change]);
      continue;
    }
    const last = waiting.at(-1)?.combining;
    const blocked = last !== undefined && last >= symbol.combining;
    const joined: string | undefined = blocked ? undefined : composition(starter.character, symbol.character);
    if (joined !== undefined) {
      starter = { character: joined, combining: 0, change: starter.change + symbol.change - 1 };
    } else if (symbol.combining === 0) {
      flush();
      starter = symbol;
    } else {
      waiting.push(symbol);
    }
  }
  flush();
  return changes;
}

/** UTF-16 units that are taken together, each of which takes some objects, and the most of them. */
const together = 2 ** 14;
const mostTogether = 2 ** 19;

/** Starters that nothing before them composes with, nor what they decompose into. Not all: those of many texts. */
const anew: readonly (readonly [first: number, last: number])[] = [
  [0x400, 0x482],
  [0x5d0, 0x5ea],
  [0x621, 0x64a],
  [0x905, 0x939],
  [0xe01, 0xe2e],
  [0x2010, 0x2027],
  [0x3000, 0x3029],
  [0x3041, 0x3096],
  [0x30a1, 0x30fa],
  [0x3400, 0x9fff],
  [0xac00, 0xd7a3],
  [0xff01, 0xff60],
  [0x1f300, 0x1faff],
  [0x20000, 0x2fa1f],
];

function beginsAnew(point: number): boolean {
  if (point < 0x300) return true;
  return anew.some(([first, last]) => point >= first && point <= last);
}

/** The end of what is taken together from `from` on. Throws LIMIT_EXCEEDED. */
function endOfStretch(text: string, from: number): number {
  let at = Math.min(from + together, text.length);
  if (at < text.length && text.charCodeAt(at) >> 10 === 0x37) ++at;
  while (at < text.length) {
    const point = pointAt(text, at);
    if (beginsAnew(point)) break;
    at += widthOf(point);
    if (at - from > mostTogether) {
      throw limitExceeded(
        `A run of ${mostTogether} characters has no place where its normal form may be cut`,
      );
    }
  }
  return at;
}

function* changesOf(text: string, form: NormalForm): Generator<Change[]> {
  for (let from = 0; from < text.length; ) {
    checkStopped();
    const end = endOfStretch(text, from);
    const symbols = decomposed(text.slice(from, end), form === 'NFC' || form === 'NFD' ? 'NFD' : 'NFKD');
    yield form === 'NFC' || form === 'NFKC'
      ? composed(symbols)
      : symbols.map(({ character, change }): Change => [character, change]);
    from = end;
  }
}

/** Latin-1 is composed already, and ASCII is in every form. */
const unchanged: Readonly<Record<NormalForm, RegExp>> = {
  NFC: /^[\0-\u02ff\u4e00-\u9fff\u3041-\u3096\uac00-\ud7a3\u2010-\u2027\u0400-\u0482]*$/,
  NFD: /^[\0-\x7f]*$/,
  NFKC: /^[\0-\x7f]*$/,
  NFKD: /^[\0-\x7f]*$/,
};

export function normalForm(source: AlignedText, form: NormalForm): AlignedText {
  if (unchanged[form].test(source.text)) return source;
  return transformed(source, changesOf(source.text, form));
}

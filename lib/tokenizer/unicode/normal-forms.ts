/**
 * The four normal forms, with the data of Unicode 9 that the reference has: later characters neither decompose nor move.
 * Decompositions and compositions are the runtime's own, which never change for a character once it is there.
 */
import { type AlignedText, type Change, pointAt, Rewriting, rewrite, widthOf } from '../aligned-text.js';
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

/** The end of what is taken together from `from` on, at most `until`, which begins anew. Throws LIMIT_EXCEEDED. */
function endOfStretch(text: string, from: number, until: number): number {
  if (until - from <= together) return until;
  let at = from + together;
  if (text.charCodeAt(at) >> 10 === 0x37) ++at;
  while (at < until) {
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

function composes(form: NormalForm): boolean {
  return form === 'NFC' || form === 'NFKC';
}

function changesOf(text: string, form: NormalForm): Change[] {
  const symbols = decomposed(text, form === 'NFC' || form === 'NFD' ? 'NFD' : 'NFKD');
  if (composes(form)) return composed(symbols);
  return symbols.map(({ character, change }): Change => [character, change]);
}

/**
 * Characters of many texts that a form leaves as they are beside each other, as a class of an expression. Each begins anew;
 * what follows a run of them may compose with its last one.
 */
const unchanged: Readonly<Record<NormalForm, string>> = {
  NFC: String.raw`[\0-\u02ff\u0400-\u0482\u2010-\u2027\u3041-\u3096\u4e00-\u9fff\uac00-\ud7a3]`,
  NFD: String.raw`[\0-\x7f\u2010-\u2027\u4e00-\u9fff]`,
  NFKC: String.raw`[\0-\x7f\xbf-\u0131\u0400-\u0482\u2012-\u2016\u2018-\u2023\u3041-\u3096\u4e00-\u9fff\uac00-\ud7a3]`,
  NFKD: String.raw`[\0-\x7f\u2012-\u2016\u2018-\u2023\u4e00-\u9fff]`,
};

/** A shorter run of unchanged characters is taken with what is around it. */
const shortestRun = 8;

/** Runs of unchanged characters, one after the other, as offsets into the text; the last is empty, at its end. */
function* unchangedRuns(text: string, form: NormalForm): Generator<[from: number, to: number]> {
  const runs = new RegExp(`${unchanged[form]}{${shortestRun},}`, 'g');
  for (let run = runs.exec(text); run !== null; run = runs.exec(text)) {
    const end = runs.lastIndex;
    const joins = composes(form) && end < text.length && !beginsAnew(pointAt(text, end));
    yield [run.index, joins ? end - 1 : end];
  }
  yield [text.length, text.length];
}

export function normalForm(source: AlignedText, form: NormalForm): AlignedText {
  const { text } = source;
  const rewriting = new Rewriting(source);
  let at = 0;
  for (const [from, to] of unchangedRuns(text, form)) {
    if (to - from === text.length) return source;
    while (at < from) {
      checkStopped();
      const stretch = text.slice(at, endOfStretch(text, at, from));
      at = rewrite(rewriting, at, changesOf(stretch, form));
    }
    rewriting.keep(from, to);
    at = to;
  }
  return rewriting.done();
}

/**
 * The four normal forms, with the data of Unicode 9 that the reference has: later characters neither decompose nor move.
 * Decompositions and compositions are the runtime's own, which never change for a character once it is there.
 */
import { type AlignedText, type Change, transformed, widthOf } from '../aligned-text.js';
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

/** Latin-1 is composed already, and ASCII is in every form. */
const unchanged: Readonly<Record<NormalForm, RegExp>> = {
  NFC: /^[\0-\u02ff\u4e00-\u9fff\u3041-\u3096\uac00-\ud7a3\u2010-\u2027\u0400-\u0482]*$/,
  NFD: /^[\0-\x7f]*$/,
  NFKC: /^[\0-\x7f]*$/,
  NFKD: /^[\0-\x7f]*$/,
};

export function normalForm(source: AlignedText, form: NormalForm): AlignedText {
  if (unchanged[form].test(source.text)) return source;
  const symbols = decomposed(source.text, form === 'NFC' || form === 'NFD' ? 'NFD' : 'NFKD');
  const changes =
    form === 'NFC' || form === 'NFKC'
      ? composed(symbols)
      : symbols.map(({ character, change }): Change => [character, change]);
  return transformed(source, changes);
}

/** The patterns that many vocabularies share, matched by scanners written for them. */
import { flagsOf, letter, mark, number } from '../unicode/classes.js';
import { caseScanner } from './case-scanner.js';
import type { Scanner } from './scanner.js';
import { pointBefore, runOf, scanDeepSeek, scanDigits, scanGpt2, wordScanner } from './word-scanner.js';

export const gpt2Pattern =
  "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
const contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const spaces = '\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+';

/** Llama 3's and Qwen 2's; `digits`: a pattern. */
export function cl100kPattern(digits: string): string {
  return `${contractions}|${plainPattern(digits)}`;
}

/** The same without contractions. */
export function plainPattern(digits: string): string {
  return `[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|${spaces}`;
}

export const qwen35Pattern = `${contractions}|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|${spaces}`;

export function o200kPattern(withContractions: boolean, digits: string): string {
  const upper = '[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]';
  const lower = '[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]';
  const lead = '[^\\r\\n\\p{L}\\p{N}]?';
  const tail = withContractions ? `${contractions}?` : '';
  return `${lead}${upper}*${lower}+${tail}|${lead}${upper}+${lower}*${tail}|${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|${spaces}`;
}

export const deepSeekPatterns = [
  '\\p{N}{1,3}',
  '[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+',
  '[!"#$%&\'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+',
] as const;

const flags = flagsOf();

/** A Chinese character up to U+9FA5, or Japanese syllables. */
function isDeepSeekCjk(unit: number): boolean {
  return (unit >= 0x4e00 && unit <= 0x9fa5) || (unit >= 0x3040 && unit <= 0x30ff);
}

const scanDeepSeekCjk: Scanner = (text, at, to) => {
  let end = at;
  while (end < to && isDeepSeekCjk(text.charCodeAt(end))) ++end;
  return end > at ? end : -1;
};

const scanDigit: Scanner = (text, at, to) => {
  const point = pointBefore(text, at, to);
  if ((flags[point]! & number) === 0) return -1;
  return at + (point > 0xffff ? 2 : 1);
};

const scanNumber: Scanner = (text, at, to) => {
  const end = runOf(text, at, to, number);
  return end > at ? end : -1;
};

function buildScanners(): Map<string, Scanner> {
  const scanners = new Map<string, Scanner>([
    [gpt2Pattern, scanGpt2],
    ['\\p{N}', scanDigit],
    ['\\p{N}+', scanNumber],
    [deepSeekPatterns[0], (text, at, to) => scanDigits(text, at, to, 3)],
    [deepSeekPatterns[1], scanDeepSeekCjk],
    [deepSeekPatterns[2], scanDeepSeek],
    [
      qwen35Pattern,
      wordScanner({ contractions: true, word: letter | mark, digits: 1, notSign: letter | mark | number }),
    ],
  ]);
  const counts: [string, number][] = [
    ['\\p{N}', 1],
    ['\\p{N}{1,3}', 3],
    ['\\p{N}+', Number.POSITIVE_INFINITY],
  ];
  for (const [pattern, digits] of counts) {
    const shape = { word: letter, digits, notSign: letter | number };
    scanners.set(cl100kPattern(pattern), wordScanner({ ...shape, contractions: true }));
    scanners.set(plainPattern(pattern), wordScanner({ ...shape, contractions: false }));
    for (const on of [true, false]) {
      scanners.set(o200kPattern(on, pattern), caseScanner({ contractions: on, digits }));
    }
  }
  return scanners;
}

let scanners: Map<string, Scanner> | undefined;

/** Undefined for a pattern that is to be translated. */
export function knownScanner(source: string): Scanner | undefined {
  scanners ??= buildScanners();
  return scanners.get(source);
}

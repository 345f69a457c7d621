/** Normalizers that look at one character after the other. */
import { type AlignedText, pointAt, Rewriting, widthOf } from '../aligned-text.js';
import { spellBytes } from '../byte-spelling.js';
import { checkStopped } from '../work.js';
import { type CharacterSet, combiningMarkSet, whiteSpaceSet } from '../unicode/classes.js';
import { lowerCaseOf } from '../unicode/lower-case.js';

const charactersBetweenChecks = 2 ** 16;

/** `replacement`: of a code point; undefined keeps it. What is put instead comes from the character. */
export function mapCharacters(
  source: AlignedText,
  replacement: (point: number) => string | undefined,
): AlignedText {
  const { text } = source;
  const rewriting = new Rewriting(source);
  let kept = 0;
  let changed = false;
  let asked = charactersBetweenChecks;
  for (let i = 0; i < text.length; ) {
    if (i >= asked) {
      checkStopped();
      asked = i + charactersBetweenChecks;
    }
    const point = pointAt(text, i);
    const width = widthOf(point);
    const instead = replacement(point);
    if (instead !== undefined) {
      changed = true;
      rewriting.keep(kept, i);
      rewriting.put(instead, i);
      kept = i + width;
    }
    i += width;
  }
  if (!changed) return source;
  rewriting.keep(kept, text.length);
  return rewriting.done();
}

export function removeAll(source: AlignedText, set: CharacterSet): AlignedText {
  return mapCharacters(source, (point) => (set.has(point) ? '' : undefined));
}

export function stripAccents(source: AlignedText): AlignedText {
  return removeAll(source, combiningMarkSet);
}

export function lowercase(source: AlignedText): AlignedText {
  if (source.starts === undefined && /^[\0-\x7f]*$/.test(source.text)) {
    return { ...source, text: source.text.toLowerCase() };
  }
  return mapCharacters(source, (point) => {
    const lower = lowerCaseOf(point);
    return lower.codePointAt(0) === point ? undefined : lower;
  });
}

function spacesAt(text: string, fromEnd: boolean): number {
  let count = 0;
  while (count < text.length) {
    const at = fromEnd ? text.length - 1 - count : count;
    if (!whiteSpaceSet.has(text.charCodeAt(at))) break;
    ++count;
  }
  return count;
}

export function strip(source: AlignedText, left: boolean, right: boolean): AlignedText {
  const from = left ? spacesAt(source.text, false) : 0;
  const to = source.text.length - (right ? spacesAt(source.text, true) : 0);
  if (from === 0 && to === source.text.length) return source;
  const rewriting = new Rewriting(source);
  if (from < to) rewriting.keep(from, to);
  return rewriting.done();
}

/** What the normalizer of that name drops, and what it reads as a space. */
function nmtOf(c: number): string | undefined {
  if ((c >= 1 && c <= 8) || c === 0xb || (c >= 0xe && c <= 0x1f) || c === 0x7f || c === 0x8f || c === 0x9f) {
    return '';
  }
  const spaces =
    c === 9 ||
    c === 0xa ||
    c === 0xc ||
    c === 0xd ||
    c === 0x1680 ||
    (c >= 0x200b && c <= 0x200f) ||
    c === 0x2028 ||
    c === 0x2029 ||
    c === 0x2581 ||
    c === 0xfeff ||
    c === 0xfffd;
  return spaces ? ' ' : undefined;
}

export function nmt(source: AlignedText): AlignedText {
  return mapCharacters(source, nmtOf);
}

export function spellAllBytes(source: AlignedText): AlignedText {
  return mapCharacters(source, (point) => {
    if (point > 0x20 && point < 0x7f) return undefined;
    return spellBytes(String.fromCodePoint(point));
  });
}

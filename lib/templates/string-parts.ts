/** Splitting, stripping, joining and replacing of strings. */
import type { Budget } from './budget.js';
import { typeError, valueError } from './failure.js';
import { spaces } from './numbers.js';
import { Text, TextBuilder } from './text.js';
import { iterate, typeName, Undefined, type Value } from './values.js';

/** `chars` undefined: white space. */
export function stripText(text: Text, chars: Text | undefined, from: boolean, to: boolean): Text {
  const { value } = text;
  const outer = chars === undefined ? undefined : new Set(chars.value);
  const goes = (character: string): boolean =>
    outer === undefined ? isSpace(character) : outer.has(character);
  let [start, end] = [0, value.length];
  while (from && start < end) {
    const character = String.fromCodePoint(value.codePointAt(start)!);
    if (!goes(character)) break;
    start += character.length;
  }
  while (to && end > start) {
    const isLow = /[\uDC00-\uDFFF]/.test(value[end - 1]!) && end - 2 >= start;
    const character = value.slice(isLow ? end - 2 : end - 1, end);
    if (!goes(character)) break;
    end -= character.length;
  }
  return text.cut(start, end);
}

const space = new RegExp(`[${spaces}]`);

export function isSpace(character: string): boolean {
  return space.test(character);
}

/** `separator` undefined: runs of white space. `limit` below 0: none. */
export function splitText(
  text: Text,
  separator: Text | undefined,
  limit: number,
  fromRight: boolean,
  budget: Budget,
): Text[] {
  if (separator?.value === '') throw valueError('empty separator');
  const gaps =
    separator === undefined
      ? spaceGaps(text, budget)
      : separatorGaps(text, separator.value, fromRight, budget);
  if (separator === undefined) return splitWords(text, gaps, limit, fromRight);
  const kept =
    limit < 0 ? gaps : fromRight ? gaps.slice(Math.max(0, gaps.length - limit)) : gaps.slice(0, limit);
  return between(text, kept);
}

type Gap = readonly [from: number, to: number];

function between(text: Text, gaps: readonly Gap[]): Text[] {
  let at = 0;
  const parts = gaps.map(([from, to]) => {
    const part = text.cut(at, from);
    at = to;
    return part;
  });
  return [...parts, text.cut(at)];
}

function separatorGaps(text: Text, separator: string, fromRight: boolean, budget: Budget): Gap[] {
  const { value } = text;
  const gaps: Gap[] = [];
  budget.step();
  if (!fromRight) {
    for (let at = value.indexOf(separator); at >= 0; at = value.indexOf(separator, at + separator.length)) {
      budget.step();
      gaps.push([at, at + separator.length]);
    }
    return gaps;
  }
  let end = value.length;
  while (end >= separator.length) {
    const at = value.lastIndexOf(separator, end - separator.length);
    if (at < 0) break;
    budget.step();
    gaps.push([at, at + separator.length]);
    end = at;
  }
  return gaps.reverse();
}

function spaceGaps(text: Text, budget: Budget): Gap[] {
  const gaps: Gap[] = [];
  for (const found of text.value.matchAll(new RegExp(`[${spaces}]+`, 'g'))) {
    budget.step();
    gaps.push([found.index, found.index + found[0].length]);
  }
  return gaps;
}

/** White space around the text divides nothing; what is left over by the limit keeps its own. */
function splitWords(text: Text, gaps: readonly Gap[], limit: number, fromRight: boolean): Text[] {
  const stripped = stripText(text, undefined, true, true);
  if (stripped.value === '') return [];
  const end = text.value.length;
  const inner = gaps.filter(([from, to]) => from > 0 && to < end);
  const first = gaps[0]?.[0] === 0 ? gaps[0][1] : 0;
  const last = gaps.at(-1)?.[1] === end ? gaps.at(-1)![0] : end;
  if (limit < 0 || inner.length <= limit) {
    // A limit that is reached exactly still strips both ends.
    return between(text.cut(first, last), shift(inner, first));
  }
  if (fromRight) {
    const kept = inner.slice(inner.length - limit);
    const whole = text.cut(0, last);
    return limit === 0 ? [whole] : between(whole, kept);
  }
  return between(text.cut(first), shift(inner.slice(0, limit), first));
}

function shift(gaps: readonly Gap[], by: number): Gap[] {
  return gaps.map(([from, to]) => [from - by, to - by]);
}

/** U+001C to U+001E end lines too. */
const separators = '\\x1c-\\x1e';
const lineEnds = new RegExp(`\\r\\n|[\\n-\\r${separators}\\x85\\u2028\\u2029]`, 'g');

export function splitLines(text: Text, keepEnds: boolean, budget: Budget): Text[] {
  const lines: Text[] = [];
  let at = 0;
  for (const end of text.value.matchAll(lineEnds)) {
    budget.step();
    const next = end.index + end[0].length;
    lines.push(text.cut(at, keepEnds ? next : end.index));
    at = next;
  }
  if (at < text.value.length) lines.push(text.cut(at));
  return lines;
}

/** separator.join(items) */
export function joinTexts(separator: Text, items: Value, budget: Budget): Text {
  if (items instanceof Undefined) return Text.empty;
  const pieces: Text[] = [];
  iterate(items, budget).forEach((item, i) => {
    budget.step();
    if (!(item instanceof Text)) {
      throw typeError(`sequence item ${i}: expected str instance, ${typeName(item)} found`);
    }
    if (i > 0) pieces.push(separator);
    pieces.push(item);
  });
  budget.text(pieces.reduce((sum, { value }) => sum + value.length, 0));
  return Text.concat(pieces).like(separator);
}

/** `limit` below 0: all of them. */
export function replaceText(text: Text, old: Text, fresh: Text, limit: number, budget: Budget): Text {
  if (!text.value.includes(old.value)) return text;
  if (old.value === '') budget.step(text.length);
  const gaps = old.value === '' ? emptyGaps(text) : separatorGaps(text, old.value, false, budget);
  const kept = limit < 0 ? gaps : gaps.slice(0, limit);
  budget.text(text.value.length + kept.length * Math.max(0, fresh.value.length - old.value.length));
  const builder = new TextBuilder();
  let at = 0;
  for (const [from, to] of kept) {
    builder.add(text.cut(at, from));
    builder.add(fresh);
    at = to;
  }
  builder.add(text.cut(at));
  return builder.finish();
}

/** Before every character and at the end. */
function emptyGaps(text: Text): Gap[] {
  return Array.from({ length: text.length + 1 }, (_, i) => [text.offset(i), text.offset(i)]);
}

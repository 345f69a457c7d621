/** Escaping for HTML and the removal of its tags. */
import type { Budget } from './budget.js';
import { spaces } from './numbers.js';
import { Text } from './text.js';

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  "'": '&#39;',
  '"': '&#34;',
};

/** Escapes what is not escaped yet. */
export function escapeHtml(text: Text, budget: Budget): Text {
  if (text.markup) return text;
  const result = text.map((stretch) => stretch.replace(/[&<>'"]/g, (character) => entities[character]!));
  budget.text(result.value.length);
  return result.asMarkup();
}

const named: Readonly<Record<string, string>> = {
  amp: '&',
  lt: '<',
  gt: '>',
  quot: '"',
  apos: "'",
  nbsp: '\u00a0',
};

function unescapeHtml(text: string): string {
  return text.replace(/&(?:#(\d{1,7})|#[xX]([0-9a-fA-F]{1,6})|([a-z]+));/g, (whole, decimal, hex, name) => {
    if (name !== undefined) return named[name] ?? whole;
    const code = decimal === undefined ? Number.parseInt(hex, 16) : Number(decimal);
    return code > 0 && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff)
      ? String.fromCodePoint(code)
      : '\ufffd';
  });
}

/** Without comments and tags, each run of white space as one space. */
export function stripTags(text: Text): Text {
  const kept: Text[] = [];
  const { value } = text;
  // The last places where a comment or a tag may end: behind them none does, and none is looked for.
  const [lastComment, lastTag] = [value.lastIndexOf('-->'), value.lastIndexOf('>')];
  let at = 0;
  for (let open = value.indexOf('<'); open >= 0 && open < lastTag; ) {
    const isComment = value.startsWith('<!--', open) && open + 2 <= lastComment;
    const end = isComment ? value.indexOf('-->', open + 2) + 3 : value.indexOf('>', open) + 1;
    kept.push(text.cut(at, open));
    at = end;
    open = value.indexOf('<', at);
  }
  kept.push(text.cut(at));
  const whole = Text.concat(kept);
  const words = [...whole.value.matchAll(new RegExp(`[^${spaces}]+`, 'g'))].flatMap((word, i) => {
    const own = whole.cut(word.index, word.index + word[0].length);
    return i === 0 ? [own] : [Text.of(' '), own];
  });
  return Text.concat(words).map(unescapeHtml);
}

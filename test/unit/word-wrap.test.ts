import { expect, it } from 'vitest';
import { WordWrap } from '../../lib/cli/word-wrap.js';

/** In pieces of every size, which must make no difference. */
function wrapped(text: string, columns: number): string {
  const results = new Set<string>();
  for (let size = 1; size <= text.length; size++) {
    const wrap = new WordWrap(() => columns);
    let out = '';
    for (let at = 0; at < text.length; at += size) out += wrap.push(text.slice(at, at + size));
    results.add(out + wrap.flush());
  }
  expect(results.size).toBe(1);
  return [...results][0]!;
}

it.each([
  ['one two three', 7, 'one two\nthree'],
  ['one two three', 8, 'one two\nthree'],
  ['one two three', 13, 'one two three'],
  ['incomprehensible', 5, 'incomprehensible'],
  ['a\nb c', 3, 'a\nb c'],
  ['a\n\n  b c d', 5, 'a\n\n  b c\nd'],
  ['trailing \n', 20, 'trailing \n'],
  ['日本 語語', 7, '日本\n語語'],
  ['日本 語語', 9, '日本 語語'],
  ['a b\n```\nlong line of code\n```\nlong line', 6, 'a b\n```\nlong line of code\n```\nlong\nline'],
])('%j in %i columns', (text, columns, expected) => {
  expect(wrapped(text, columns)).toBe(expected);
});

/** Normal forms beside the runtime's, over runs that stay as they are and what stands at their ends. */
import { describe, expect, it } from 'vitest';
import { Random } from '../../lib/generation/random.js';
import { alignedText } from '../../lib/tokenizer/aligned-text.js';
import { type NormalForm, normalForm } from '../../lib/tokenizer/unicode/normal-forms.js';

const forms: readonly NormalForm[] = ['NFC', 'NFD', 'NFKC', 'NFKD'];
const runs = [
  'a long run of letters',
  'кириллица подряд',
  'ひらがなが続く文字列',
  '한국어가이어지는글',
  '漢字漢字漢字漢字',
];
const others = [
  '\u0301',
  '\u0327\u0301',
  '\u3099',
  '\u11a8',
  'é',
  'ﬁ',
  '…',
  '\u2011',
  '½',
  'й',
  'が',
  'Å',
  '가',
  'ab',
  '𝐀',
];
const kept = /[\0-\u02ff\u0400-\u0482\u2010-\u2027\u3041-\u3096\u4e00-\u9fff\uac00-\ud7a3]/;
const characters = Array.from({ length: 0xd800 }, (_, point) => String.fromCharCode(point));

describe.each(forms)('%s', (form) => {
  it('of texts in which runs join with what follows them is the runtime’s', () => {
    const random = new Random(7);
    const below = (count: number): number => Math.floor(random.uniform() * count);
    for (let n = 0; n < 3000; ++n) {
      const parts = Array.from({ length: 1 + below(6) }, () => {
        const from = below(3) > 0 ? runs : others;
        return from[below(from.length)]!;
      });
      const text = parts.join('');
      expect(normalForm(alignedText(text, 0, false), form).text).toBe(text.normalize(form));
    }
  });

  it('gives each unit the offsets of the characters that it comes from', () => {
    const text = `${runs[0]}\u0301${runs[1]}ﬁ${runs[0]}`;
    const { text: result, starts, ends } = normalForm(alignedText(text, 5, true), form);
    for (const run of [runs[0]!.slice(0, -1), runs[1]!.slice(0, 5), runs[0]!.slice(1)]) {
      const [at, from] = [result.lastIndexOf(run), text.lastIndexOf(run)];
      expect(at).toBeGreaterThanOrEqual(0);
      for (let i = 0; i < run.length; ++i) {
        expect([starts![at + i], ends![at + i]]).toEqual([5 + from + i, 5 + from + i + 1]);
      }
    }
    const letter = result.search(/ﬁ|fi/);
    expect([starts![letter], ends![letter]]).toEqual([5 + text.indexOf('ﬁ'), 5 + text.indexOf('ﬁ') + 1]);
  });

  it('of each character of many texts beside another of its kind is the runtime’s', () => {
    const text = characters.filter((character) => kept.test(character)).join('');
    const backwards = [...text].reverse().join('');
    for (const each of [text, backwards]) {
      expect(normalForm(alignedText(each, 0, false), form).text).toBe(each.normalize(form));
    }
  });
});

/** The normalizer of BERT's vocabularies. */
import type { AlignedText } from '../aligned-text.js';
import type { CheckedComponent } from '../component.js';
import { controlSet, nonSpacingSet, whiteSpaceSet } from '../unicode/classes.js';
import { normalForm } from '../unicode/normal-forms.js';
import { lowercase, mapCharacters, removeAll } from './by-character.js';

function clean(source: AlignedText): AlignedText {
  return mapCharacters(source, (point) => {
    if (controlSet.has(point)) return '';
    return whiteSpaceSet.has(point) && point !== 0x20 ? ' ' : undefined;
  });
}

function isChinese(c: number): boolean {
  return (
    (c >= 0x4e00 && c <= 0x9fff) ||
    (c >= 0x3400 && c <= 0x4dbf) ||
    (c >= 0x20000 && c <= 0x2a6df) ||
    (c >= 0x2a700 && c <= 0x2b73f) ||
    (c >= 0x2b740 && c <= 0x2b81f) ||
    (c >= 0x2b920 && c <= 0x2ceaf) ||
    (c >= 0xf900 && c <= 0xfaff) ||
    (c >= 0x2f800 && c <= 0x2fa1f)
  );
}

function spaceOutChinese(source: AlignedText): AlignedText {
  return mapCharacters(source, (point) =>
    isChinese(point) ? ` ${String.fromCodePoint(point)} ` : undefined,
  );
}

export function bertNormalizer(node: CheckedComponent): (source: AlignedText) => AlignedText {
  const lower = node.flag('lowercase');
  const accents = node.flag('strip_accents', lower);
  const cleans = node.flag('clean_text');
  const chinese = node.flag('handle_chinese_chars');
  return (source) => {
    let text = source;
    if (cleans) text = clean(text);
    if (chinese) text = spaceOutChinese(text);
    if (accents) text = removeAll(normalForm(text, 'NFD'), nonSpacingSet);
    return lower ? lowercase(text) : text;
  };
}

/** Takes the spaces at both ends of tokens out of their offsets. */
import { whiteSpaceSet } from '../unicode/classes.js';
import type { Encoding } from './encoding.js';

export type TokenText = (id: number) => string | undefined;

function isSpace(character: string): boolean {
  return character === '\u0120' || whiteSpaceSet.has(character.codePointAt(0)!);
}

function spacesOf(token: string): { leading: number; trailing: number } {
  const characters = Array.from(token);
  let leading = 0;
  while (leading < characters.length && isSpace(characters[leading]!)) ++leading;
  let trailing = 0;
  while (trailing < characters.length && isSpace(characters[characters.length - 1 - trailing]!)) ++trailing;
  return { leading, trailing };
}

/** So many characters on. */
function forward(text: string, at: number, characters: number): number {
  let end = at;
  for (let n = 0; n < characters && end < text.length; ++n) end += text.codePointAt(end)! > 0xffff ? 2 : 1;
  return end;
}

function backward(text: string, at: number, characters: number): number {
  let start = at;
  for (let n = 0; n < characters && start > 0; ++n) {
    start -= start > 1 && text.codePointAt(start - 2)! > 0xffff ? 2 : 1;
  }
  return start;
}

/** `prefixed`: a first token may have a space of its own in front, which is not in the text. */
export function trimOffsets(encoding: Encoding, prefixed: boolean, tokenOf: TokenText): Encoding {
  if (encoding.offsets === undefined) return encoding;
  const { text = '', values } = encoding;
  const offsets = encoding.offsets.slice();
  const known = new Map<number, { leading: number; trailing: number }>();
  encoding.ids.forEach((id, i) => {
    const value = values?.get(i);
    let spaces = value === undefined ? known.get(id) : spacesOf(value);
    if (spaces === undefined) {
      spaces = spacesOf(tokenOf(id) ?? '');
      known.set(id, spaces);
    }
    let [start, end] = [offsets[2 * i]!, offsets[2 * i + 1]!];
    const first = i === 0 || start === 0;
    const leading = first && prefixed && spaces.leading === 1 ? 0 : spaces.leading;
    if (leading > 0) start = Math.min(forward(text, start, leading), end);
    if (spaces.trailing > 0 && end >= spaces.trailing)
      end = Math.max(backward(text, end, spaces.trailing), start);
    offsets[2 * i] = start;
    offsets[2 * i + 1] = end;
  });
  return { ...encoding, offsets };
}

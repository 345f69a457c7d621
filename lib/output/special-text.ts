/**
 * Output text in which special tokens stand apart from text that spells them: a token is its spelling between two lone
 * surrogates, which decoded text never holds. So a marker that is a token of the vocabulary is not found in what a model
 * merely quotes.
 */
import type { Marker } from '../structure/answer-shape.js';

/** Low surrogates: alone wherever no high one stands before them. */
const before = '\uDC00';
const behind = '\uDC01';
const alone = '(?<![\uD800-\uDBFF])';
const token = new RegExp(`${alone}${before}([\\s\\S]*?)${alone}${behind}`, 'g');

/** A special token as it stands in coded text. */
export function codedToken(spelling: string): string {
  return spelling === '' ? '' : before + spelling + behind;
}

/** A special token begins here. */
export function isTokenStart(coded: string, at: number): boolean {
  if (coded[at] !== before) return false;
  const unit = at === 0 ? 0 : coded.charCodeAt(at - 1);
  return unit < 0xd800 || unit > 0xdbff;
}

/** A marker as it comes in coded text. @param specials what the special tokens of the vocabulary spell */
export function codedMarker(marker: string, specials: Iterable<string>): string {
  const inside = [...specials].filter((special) => special !== '' && marker.includes(special));
  // At one place the longest counts, as it does where text is encoded.
  inside.sort((a, b) => b.length - a.length);
  let coded = '';
  for (let at = 0; at < marker.length; ) {
    const special = inside.find((one) => marker.startsWith(one, at));
    coded += special === undefined ? marker[at] : codedToken(special);
    at += special?.length ?? 1;
  }
  return coded;
}

/** A piece of coded text: text, then what one special token spells. */
export interface CodedPiece {
  text: string;
  /** '': none. */
  special: string;
}

/** Coded text taken apart. It never ends inside of a token. */
export function piecesOf(coded: string): CodedPiece[] {
  const pieces: CodedPiece[] = [];
  let at = 0;
  for (const match of coded.matchAll(token)) {
    pieces.push({ text: coded.slice(at, match.index), special: match[1] });
    at = match.index + match[0].length;
  }
  if (at < coded.length) pieces.push({ text: coded.slice(at), special: '' });
  return pieces;
}

/** What the text says, special tokens left out. */
export function plainText(coded: string): string {
  return piecesOf(coded)
    .map(({ text }) => text)
    .join('');
}

/** The text with its special tokens spelled. */
export function spelledText(coded: string): string {
  return piecesOf(coded)
    .map(({ text, special }) => text + special)
    .join('');
}

/** A marker as a grammar has it. @param specials ids by what they spell */
export function markerOf(marker: string, specials: ReadonlyMap<string, number>): Marker {
  return piecesOf(codedMarker(marker, specials.keys())).flatMap(({ text, special }) => [
    ...(text === '' ? [] : [text]),
    ...(special === '' ? [] : [specials.get(special)!]),
  ]);
}

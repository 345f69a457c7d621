/** Classes and cases of characters, as Python's str methods know them. */
import { spaces } from './numbers.js';
import { Text } from './text.js';

/** Digits that are no decimal digits (superscripts, circled digits), by Unicode's Numeric_Type. */
const otherDigits =
  '\\u{b2}\\u{b3}\\u{b9}\\u{1369}-\\u{1371}\\u{19da}\\u{2070}\\u{2074}-\\u{2079}\\u{2080}-\\u{2089}' +
  '\\u{2460}-\\u{2468}\\u{2474}-\\u{247c}\\u{2488}-\\u{2490}\\u{24ea}\\u{24f5}-\\u{24fd}\\u{24ff}' +
  '\\u{2776}-\\u{277e}\\u{2780}-\\u{2788}\\u{278a}-\\u{2792}\\u{10a40}-\\u{10a43}\\u{10e60}-\\u{10e68}' +
  '\\u{11052}-\\u{1105a}\\u{1f100}-\\u{1f10a}';

/** Ideographs that stand for numbers. */
const numerals =
  '㐅㒃㠪㭍一七万三九二五亖亿什仟仨伍佰億兆兩八六十千卄卅卌叁参參叄四壱壹幺廾廿弌弍弎弐拾捌柒漆玖百肆萬' +
  '貮貳贰阡陆陌陸零參拾兩零六陸什\\u{20001}\\u{20064}\\u{200e2}\\u{20121}\\u{2092a}\\u{20983}\\u{2098c}' +
  '\\u{2099c}\\u{20aea}\\u{20afd}\\u{20b19}\\u{22390}\\u{22998}\\u{23b1b}\\u{2626d}\\u{2f890}';

const all = (classes: string): RegExp => new RegExp(`^[${classes}]+$`, 'u');

export const characterTests: Readonly<Record<string, (text: string) => boolean>> = {
  isalpha: (text) => all('\\p{L}').test(text),
  isdecimal: (text) => all('\\p{Nd}').test(text),
  isdigit: (text) => all(`\\p{Nd}${otherDigits}`).test(text),
  isnumeric: (text) => all(`\\p{N}${numerals}`).test(text),
  isalnum: (text) => all(`\\p{L}\\p{N}${numerals}`).test(text),
  isspace: (text) => all(spaces).test(text),
  isascii: (text) => !/[^\0-\x7f]/.test(text),
  isprintable: (text) => !/[\p{C}\p{Zl}\p{Zp}]|(?! )\p{Zs}/u.test(text),
  isidentifier: (text) => /^[\p{XID_Start}_]\p{XID_Continue}*$/u.test(text),
  isupper: (text) => /\p{Uppercase}/u.test(text) && !/[\p{Lowercase}\p{Lt}]/u.test(text),
  islower: (text) => /\p{Lowercase}/u.test(text) && !/[\p{Uppercase}\p{Lt}]/u.test(text),
  istitle: isTitle,
};

/** Words begin with capitals, and nothing else is one. */
function isTitle(text: string): boolean {
  let after = false;
  let found = false;
  for (const character of text) {
    if (/[\p{Uppercase}\p{Lt}]/u.test(character)) {
      if (after) return false;
      after = true;
      found = true;
    } else if (/\p{Lowercase}/u.test(character)) {
      if (!after) return false;
      found = true;
    } else after = false;
  }
  return found;
}

const iota: Readonly<Record<string, string>> = { ᾳ: 'ᾼ', ῃ: 'ῌ', ῳ: 'ῼ', ᾼ: 'ᾼ', ῌ: 'ῌ', ῼ: 'ῼ' };

/** A character as it begins a word. */
function titleCase(character: string): string {
  const code = character.codePointAt(0)!;
  if (code < 0x80) return character.toUpperCase();
  if (code >= 0x10d0 && code <= 0x10ff) return character;
  const digraph = ['ǅ', 'ǈ', 'ǋ', 'ǲ'].find((one) => one.toLowerCase() === character.toLowerCase());
  if (digraph !== undefined) return digraph;
  if (code >= 0x1f80 && code <= 0x1faf) return String.fromCodePoint(code | 8);
  if (iota[character] !== undefined) return iota[character];
  const upper = character.toUpperCase();
  if (code >= 0x1fb2 && code <= 0x1ff7 && upper.endsWith('Ι') && [...upper].length > 1) {
    return `${upper.slice(0, -1)}\u0345`;
  }
  // Ligatures: only the first letter.
  if (/^[ßև\ufb00-\ufb06\ufb13-\ufb17]$/u.test(character)) return upper[0] + upper.slice(1).toLowerCase();
  return upper;
}

/** A whole text rewritten, each stretch's length as if it were rewritten alone; stretches keep their origin. */
function rewritten(text: Text, whole: string, lengthOf: (stretch: string) => number): Text {
  if (text.changes.length === 0) return Text.of(whole);
  let at = 0;
  return Text.concat(
    text.segments.map(({ text: stretch, content }) => {
      const from = at;
      at += lengthOf(stretch);
      return content ? Text.content(whole.slice(from, at)) : Text.of(whole.slice(from, at));
    }),
  );
}

export function upper(text: Text): Text {
  return text.map((stretch) => stretch.toUpperCase());
}

/** The sigma at the end of a word depends on what stands beside it: lowered as a whole. */
export function lower(text: Text): Text {
  return rewritten(text, text.value.toLowerCase(), (stretch) => stretch.toLowerCase().length);
}

export function capitalize(text: Text): Text {
  const first = text.slice(0, Math.min(1, text.length));
  const lowered = lower(text);
  return Text.concat([first.map(titleCase), lowered.cut(lower(first).value.length)]);
}

export function title(text: Text): Text {
  const whole = text.value;
  const lowered = lower(text);
  const pieces: Text[] = [];
  let [at, to] = [0, 0];
  let inside = false;
  for (const character of whole) {
    const end = to + character.toLowerCase().length;
    pieces.push(inside ? lowered.cut(to, end) : text.cut(at, at + character.length).map(titleCase));
    inside = /[\p{Uppercase}\p{Lowercase}\p{Lt}]/u.test(character);
    at += character.length;
    to = end;
  }
  return Text.concat(pieces);
}

/** Letters that begin a word as capitals, all others small: words are divided by what `title` of jinja2 divides them. */
export function titleWords(text: Text): Text {
  const pieces: Text[] = [];
  const parts = text.value.matchAll(new RegExp(`[-${spaces}({[<]+|[^-${spaces}({[<]+`, 'g'));
  for (const part of parts) {
    const piece = text.cut(part.index, part.index + part[0].length);
    const first = piece.slice(0, 1);
    pieces.push(upper(first), lower(piece.cut(first.value.length)));
  }
  return Text.concat(pieces);
}

export function swapCase(text: Text): Text {
  const lowered = lower(text);
  const pieces: Text[] = [];
  let [at, to] = [0, 0];
  for (const character of text.value) {
    const end = to + character.toLowerCase().length;
    const own = text.cut(at, at + character.length);
    if (/[\p{Uppercase}]/u.test(character)) pieces.push(lowered.cut(to, end));
    else pieces.push(/\p{Lowercase}/u.test(character) ? upper(own) : own);
    at += character.length;
    to = end;
  }
  return Text.concat(pieces);
}

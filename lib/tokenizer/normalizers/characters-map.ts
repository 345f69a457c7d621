/** SentencePiece's table of replacements: a double-array trie over UTF-8 and the texts that it points to. */
import { KvasirError } from '../../errors.js';
import { type AlignedText, type Change, transformed } from '../aligned-text.js';
import { checkStopped } from '../work.js';

interface CharactersMap {
  /** uint32 units of the trie. */
  units: Uint32Array;
  /** Replacements, each ended by a zero byte. */
  texts: Uint8Array;
}

function readMap(encoded: string): CharactersMap {
  const bytes = Buffer.from(encoded, 'base64');
  const size = bytes.length >= 4 ? bytes.readUInt32LE(0) : 0;
  if (bytes.length < 4 + size || size % 4 !== 0 || size === 0) {
    throw new KvasirError('MODEL_FORMAT', "The tokenizer's precompiled_charsmap is damaged.");
  }
  const units = new Uint32Array(size / 4);
  for (let i = 0; i < units.length; ++i) units[i] = bytes.readUInt32LE(4 + 4 * i);
  return { units, texts: bytes.subarray(4 + size) };
}

function offsetOf(unit: number): number {
  return (unit >>> 10) << ((unit & 0x200) >>> 6);
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** The replacement of the shortest beginning of the text that has one: that is how the reference asks. */
function lookUp({ units, texts }: CharactersMap, text: string): string | undefined {
  let node = offsetOf(units[0]!);
  for (const byte of encoder.encode(text)) {
    if (byte === 0) return undefined;
    node ^= byte;
    const unit = units[node];
    if (unit === undefined || (unit & 0x800000ff) >>> 0 !== byte) return undefined;
    node ^= offsetOf(unit);
    if (((unit >>> 8) & 1) === 1) {
      const from = units[node]! & 0x7fffffff;
      const end = texts.indexOf(0, from);
      return decoder.decode(texts.subarray(from, end < 0 ? texts.length : end));
    }
  }
  return undefined;
}

/** Replaces a text of `old` characters: those beyond are added, those too many go with the last. */
function pushReplacement(changes: Change[], old: number, text: string): void {
  const characters = Array.from(text);
  const more = characters.length - old;
  for (const character of characters) changes.push([character, 0]);
  for (let i = 0; i < more && i < changes.length; ++i) changes[changes.length - 1 - i]![1] = 1;
  const last = changes.at(-1);
  if (more < 0 && last !== undefined) last[1] += more;
}

let segmenter: Intl.Segmenter | undefined;

function* graphemes(text: string): Generator<string> {
  // Without combining, joining and line ends each character is by itself.
  if (/^[\x20-\x7e\u00a0-\u00ac\u00ae-\u02ff]*$/.test(text)) {
    yield* text;
    return;
  }
  segmenter ??= new Intl.Segmenter('en', { granularity: 'grapheme' });
  for (const { segment } of segmenter.segment(text)) yield segment;
}

/** Changes that are handed on together: each is an object. */
const together = 2 ** 14;

export function charactersMap(encoded: string): (source: AlignedText) => AlignedText {
  if (encoded === '') return (source) => source;
  const map = readMap(encoded);
  const known = new Map<string, string | undefined>();
  const replacement = (text: string): string | undefined => {
    if (known.has(text)) return known.get(text);
    const found = lookUp(map, text);
    if (known.size > 20_000) known.clear();
    known.set(text, found);
    return found;
  };
  return (source) => {
    let modified = false;
    const push = (changes: Change[], grapheme: string): void => {
      const whole = Buffer.byteLength(grapheme) < 6 ? replacement(grapheme) : undefined;
      for (const part of whole === undefined ? grapheme : [grapheme]) {
        const instead = whole ?? replacement(part);
        modified ||= instead !== undefined;
        if (instead === undefined) changes.push([part, 0]);
        else pushReplacement(changes, Array.from(part).length, instead);
      }
    };
    function* lists(): Generator<Change[]> {
      let changes: Change[] = [];
      for (const grapheme of graphemes(source.text)) {
        push(changes, grapheme);
        if (changes.length < together) continue;
        checkStopped();
        // The last may still change: what is dropped goes with the character before it.
        const last = changes.pop()!;
        yield changes;
        changes = [last];
      }
      yield changes;
    }
    const result = transformed(source, lists());
    return modified ? result : source;
  };
}

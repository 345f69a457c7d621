/**
 * Finds added tokens in a text: at each place the longest that fits, from left to right, as the reference does, with the white
 * space that a token takes from its neighbours.
 */
import type { AddedTokenEntry } from './definition.js';
import { pointBefore } from './patterns/word-scanner.js';
import { whiteSpaceSet, wordSet } from './unicode/classes.js';
import { TextHashes } from './text-hashes.js';
import { checkStopped } from './work.js';

/** text[start, end), with the token that it is, or none. Parts follow each other; with `rstrip` they may overlap. */
export interface Section {
  start: number;
  end: number;
  token?: AddedTokenEntry;
}

/** Spellings up to this length are compared with the text; longer ones only where their hashes are equal. */
const longestCompared = 32;
const lengthsBeforeCheck = 64;
const noHashes = new Int32Array(0);

/** Those that begin with the same code unit. */
class Group {
  readonly bySpelling = new Map<string, AddedTokenEntry>();
  /** Of the spellings: each once, longest first. */
  #lengths = new Int32Array(0);
  /** By length, as `TextHashes` wants it. */
  #powers = new Int32Array(0);
  /** By length: the hashes of long spellings; mostly one, which is compared before the others. */
  #first = new Int32Array(0);
  #others: (Set<number> | undefined)[] = [];
  #hasOthers = new Uint8Array(0);
  #isLong = false;

  /** When all spellings are there. */
  finish(): void {
    const byLength = new Map<number, Set<number>>();
    for (const spelling of this.bySpelling.keys()) {
      const { length } = spelling;
      const hashes = byLength.get(length) ?? new Set();
      byLength.set(length, hashes);
      if (length > longestCompared) {
        hashes.add(new TextHashes(spelling).before[length]!);
      }
    }
    const sorted = [...byLength].sort(([a], [b]) => b - a);
    this.#lengths = Int32Array.from(sorted, ([length]) => length);
    this.#powers = Int32Array.from(sorted, ([length]) => TextHashes.power(length));
    this.#first = Int32Array.from(sorted, ([, hashes]) => [...hashes][0] ?? 0);
    this.#others = sorted.map(([, hashes]) => (hashes.size > 1 ? hashes : undefined));
    this.#hasOthers = Uint8Array.from(this.#others, (others) => (others === undefined ? 0 : 1));
    this.#isLong = sorted.some(([length]) => length > longestCompared);
  }

  longestAt(text: string, at: number, hashes: TextHashes, accepts?: Accepts): Match | undefined {
    const lengths = this.#lengths;
    if (lengths.length > lengthsBeforeCheck) checkStopped();
    const before = this.#isLong ? hashes.before : noHashes;
    const start = before[at]!;
    for (let i = 0; i < lengths.length; ++i) {
      const length = lengths[i]!;
      if (at + length > text.length) continue;
      if (length > longestCompared) {
        const hash = (before[at + length]! - Math.imul(start, this.#powers[i]!)) | 0;
        if (hash !== this.#first[i] && !(this.#hasOthers[i] === 1 && this.#others[i]!.has(hash))) continue;
      }
      const token = this.bySpelling.get(text.slice(at, at + length));
      if (token !== undefined && (accepts === undefined || accepts(token, at, at + length))) {
        return { token, length };
      }
    }
    return undefined;
  }
}

interface Match {
  token: AddedTokenEntry;
  length: number;
}

/** Says whether a token that was found in text[start, end) may be one there. */
export type Accepts = (token: AddedTokenEntry, start: number, end: number) => boolean;

export class AddedTokenSplitter {
  readonly #byFirstUnit = new Map<number, Group>();
  /** First units that are below U+0100, to skip text by. */
  readonly #firsts = new Uint8Array(0x10000);

  /**
   * `spelling` is what to look for in the text: the token's content, or that content normalized. The first of equal ones
   * counts. Vocabularies with 100,000 of them exist.
   */
  constructor(tokens: Iterable<[spelling: string, token: AddedTokenEntry]>) {
    for (const [spelling, token] of tokens) {
      if (spelling === '') continue;
      const first = spelling.charCodeAt(0);
      this.#firsts[first] = 1;
      let group = this.#byFirstUnit.get(first);
      if (group === undefined) {
        group = new Group();
        this.#byFirstUnit.set(first, group);
      }
      if (!group.bySpelling.has(spelling)) group.bySpelling.set(spelling, token);
    }
    for (const group of this.#byFirstUnit.values()) group.finish();
  }

  /** In order, one by one; no part without a token is empty. */
  *split(text: string, accepts?: Accepts): Generator<Section> {
    if (text === '') return;
    if (this.#byFirstUnit.size === 0) {
      yield { start: 0, end: text.length };
      return;
    }
    const firsts = this.#firsts;
    const hashes = new TextHashes(text);
    let done = 0;
    for (let i = 0; i < text.length; ) {
      const unit = text.charCodeAt(i);
      const group = firsts[unit] === 1 ? this.#byFirstUnit.get(unit) : undefined;
      const match = group?.longestAt(text, i, hashes, accepts);
      if (match === undefined) {
        ++i;
        continue;
      }
      const found = i;
      i += match.length;
      const { token } = match;
      if (token.single_word && touchesWord(text, found, i)) continue;
      const start = token.lstrip ? Math.max(spacesBefore(text, found), done) : found;
      const end = token.rstrip ? spacesAfter(text, i) : i;
      if (done < start) yield { start: done, end: start };
      yield { start, end, token };
      done = end;
    }
    if (done < text.length) yield { start: done, end: text.length };
  }
}

function pointBeforeEnd(text: string, end: number): number {
  const unit = text.charCodeAt(end - 1);
  return unit >> 10 === 0x37 && end > 1 ? text.codePointAt(end - 2)! : unit;
}

function touchesWord(text: string, start: number, end: number): boolean {
  if (start > 0 && wordSet.has(pointBeforeEnd(text, start))) return true;
  return end < text.length && wordSet.has(pointBefore(text, end, text.length));
}

function spacesBefore(text: string, start: number): number {
  let at = start;
  while (at > 0 && whiteSpaceSet.has(text.charCodeAt(at - 1))) --at;
  return at;
}

function spacesAfter(text: string, end: number): number {
  let at = end;
  while (at < text.length && whiteSpaceSet.has(text.charCodeAt(at))) ++at;
  return at;
}

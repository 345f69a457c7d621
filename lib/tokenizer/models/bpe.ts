/**
 * Byte pair encoding. Words are characters, or the bytes of characters when the model spells bytes itself. Dropout is refused:
 * it makes ids random.
 */
import { characterOf } from '../byte-spelling.js';
import { pointBefore } from '../patterns/word-scanner.js';
import { utf8Length } from '../utf8.js';
import { CutPlaces } from './cut-places.js';
import { IndexedModel } from './indexed-model.js';
import type { MergeTable } from './merge-table.js';
import type { TokenSink } from './model.js';
import { spelledBytes } from './spelled-bytes.js';
import { Symbols } from './symbols.js';
import type { TokenIndex } from './token-index.js';
import { WordCache } from './word-cache.js';

export interface BpeOptions {
  unknown?: string;
  /** Put before every symbol of a word but the first, and after the last. */
  prefix: string;
  suffix: string;
  fusesUnknown: boolean;
  fallsBack: boolean;
  ignoresMerges: boolean;
  /** Words come as text, and the vocabulary has their bytes as GPT-2 spells them. */
  spellsBytes: boolean;
}

export function byteToken(byte: number): string {
  return `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`;
}

const encoder = new TextEncoder();
const none = -1;
const notAsked = -2;
/** Of texts in UTF-16 units, before anything is cut. */
const unitsWithout = 2 ** 13;

export class BpeModel extends IndexedModel {
  readonly #symbols = new Symbols();
  readonly #cache = new WordCache();
  /** Ids of single characters by code point below U+10000, and of single bytes; -1: none, -2: not asked yet. */
  readonly #characterIds = new Int32Array(0x10000).fill(notAsked);
  readonly #byteIds: Int32Array;
  readonly #fallback: Int32Array;
  readonly #unknownId: number;
  readonly #affixed: boolean;
  readonly #spelling = new Uint8Array(1024);
  /** null: there are none. */
  #cuts: CutPlaces | null | undefined;
  /** Of all texts so far. */
  #unitsBefore = 0;

  constructor(
    index: TokenIndex,
    readonly merges: MergeTable,
    readonly options: BpeOptions,
  ) {
    super(index);
    const ids = (spell: (byte: number) => string): Int32Array =>
      Int32Array.from({ length: 256 }, (_, byte) => index.get(spell(byte)) ?? none);
    this.#byteIds = ids(characterOf);
    this.#fallback = options.fallsBack ? ids(byteToken) : new Int32Array(256).fill(none);
    this.#unknownId = options.unknown === undefined ? none : (index.get(options.unknown) ?? none);
    this.#affixed = options.prefix !== '' || options.suffix !== '';
  }

  /** None at first: where only short texts come, none is worth the time that the table takes. */
  cutsFor(units: number): CutPlaces | undefined {
    this.#unitsBefore += units;
    if (this.#cuts === undefined && this.#unitsBefore > unitsWithout) this.#cuts = this.#findCuts() ?? null;
    return this.#cuts ?? undefined;
  }

  /**
   * Words of spelled bytes are short. A model that takes whole words from its vocabulary, or spells the first and the last
   * character of a word otherwise, sees where a word ends. So do the offsets of one that leaves characters out.
   */
  #findCuts(): CutPlaces | undefined {
    const { spellsBytes, ignoresMerges, fallsBack, unknown } = this.options;
    if (spellsBytes || ignoresMerges || this.#affixed || unknown === '') return undefined;
    const leavesOut = this.#unknownId < 0 && this.#fallback.some((id) => id < 0);
    if (leavesOut) return undefined;
    const others = [...(fallsBack ? [byteToken(0)] : []), ...(unknown === undefined ? [] : [unknown])];
    return new CutPlaces(this.index, others);
  }

  override encode(text: string, from: number, to: number, tokens: TokenSink): void {
    const remembers = !tokens.tracked && WordCache.remembers(to - from);
    if (remembers && this.#cache.find(text, from, to)) {
      tokens.pushAll(this.#cache.ids, this.#cache.from, this.#cache.to);
      return;
    }
    const before = tokens.count;
    this.#encode(text, from, to, tokens);
    if (remembers) this.#cache.remember(text, from, to, tokens.ids, before, tokens.count);
  }

  #encode(text: string, from: number, to: number, tokens: TokenSink): void {
    if (this.options.ignoresMerges && this.#pushWhole(text, from, to, tokens)) return;
    const symbols = this.#symbols;
    symbols.count = 0;
    if (this.options.spellsBytes) this.#addBytes(text, from, to);
    else this.#addCharacters(text, from, to);
    if (symbols.count > 1) symbols.merge(this.merges);
    let at = 0;
    for (let i = 0; i < symbols.count; ++i) {
      const end = at + symbols.lengths[i]!;
      tokens.push(symbols.ids[i]!, at, end);
      at = end;
    }
  }

  /** A word that is in the vocabulary as it is. */
  #pushWhole(text: string, from: number, to: number, tokens: TokenSink): boolean {
    // Six bytes at most for a unit: three of UTF-8, each spelled in two.
    if (6 * (to - from) > this.#spelling.length) return false;
    const word = text.slice(from, to);
    const bytes = this.options.spellsBytes ? spelledBytes(word, this.#spelling) : this.#utf8(word);
    const id = this.index.findBytes(this.#spelling, 0, bytes);
    if (id < 0) return false;
    tokens.push(id, 0, Buffer.byteLength(word));
    return true;
  }

  #utf8(word: string): number {
    return encoder.encodeInto(word, this.#spelling).written;
  }

  #addBytes(text: string, from: number, to: number): void {
    const ids = this.#byteIds;
    const unknown = new UnknownRun(this.#symbols, this.#unknownId, this.options.fusesUnknown);
    const add = (byte: number): void => {
      const id = ids[byte]!;
      if (id >= 0) {
        unknown.flush();
        this.#symbols.push(id, 1);
      } else {
        unknown.add(1);
      }
    };
    for (let at = from; at < to; ) {
      const point = pointBefore(text, at, to);
      at += point > 0xffff ? 2 : 1;
      if (point < 0x80) {
        add(point);
      } else if (point < 0x800) {
        add(0xc0 | (point >> 6));
        add(0x80 | (point & 0x3f));
      } else {
        if (point < 0x10000) add(0xe0 | (point >> 12));
        else {
          add(0xf0 | (point >> 18));
          add(0x80 | ((point >> 12) & 0x3f));
        }
        add(0x80 | ((point >> 6) & 0x3f));
        add(0x80 | (point & 0x3f));
      }
    }
    unknown.flush();
  }

  #addCharacters(text: string, from: number, to: number): void {
    const unknown = new UnknownRun(this.#symbols, this.#unknownId, this.options.fusesUnknown);
    for (let at = from; at < to; ) {
      const point = pointBefore(text, at, to);
      const next = at + (point > 0xffff ? 2 : 1);
      const spelled = this.#affixed ? this.#affix(point, at === from, next === to) : undefined;
      const id = spelled === undefined ? this.#characterId(point) : (this.index.get(spelled) ?? none);
      if (id >= 0) {
        unknown.flush();
        this.#symbols.push(id, utf8Length(point));
      } else if (!this.#fallBack(spelled ?? String.fromCodePoint(point))) {
        unknown.add(utf8Length(point));
      }
      at = next;
    }
    unknown.flush();
  }

  #affix(point: number, first: boolean, last: boolean): string {
    const { prefix, suffix } = this.options;
    return `${first ? '' : prefix}${String.fromCodePoint(point)}${last ? suffix : ''}`;
  }

  #characterId(point: number): number {
    if (point > 0xffff) return this.index.get(String.fromCodePoint(point)) ?? none;
    let id = this.#characterIds[point]!;
    if (id === notAsked) {
      id = this.index.get(String.fromCharCode(point)) ?? none;
      this.#characterIds[point] = id;
    }
    return id;
  }

  /** As tokens of single bytes, if there is one for each. An unknown run that waits comes after them, as in the reference. */
  #fallBack(character: string): boolean {
    if (!this.options.fallsBack) return false;
    const bytes = encoder.encode(character);
    if (bytes.some((byte) => this.#fallback[byte]! < 0)) return false;
    for (const byte of bytes) this.#symbols.push(this.#fallback[byte]!, 1);
    return true;
  }
}

/** Unknown characters that wait to become one token, or one each. */
class UnknownRun {
  #length = 0;

  constructor(
    readonly symbols: Symbols,
    readonly id: number,
    readonly fuses: boolean,
  ) {}

  /** Without an unknown token it is left out. */
  add(length: number): void {
    if (this.id < 0) return;
    if (!this.fuses) this.flush();
    this.#length += length;
  }

  flush(): void {
    if (this.#length > 0) this.symbols.push(this.id, this.#length);
    this.#length = 0;
  }
}

/**
 * The tables that vocabulary and merges of a `tokenizer.json` become, as a file beside it: later loads read them instead of
 * that text, which is nearly all of it (docs/int8-format.md, "The tables of the vocabulary"). A file that was made from another
 * text, or has one wrong byte, is none. Whatever its bytes are, nothing outside of them is read, and every search ends.
 */
import type { Hash } from 'node:crypto';
import { MergeTable } from './models/merge-table.js';
import type { MergeList } from './models/merge-list.js';
import { idLimit, TokenIndex } from './models/token-index.js';

/** Of the file, beside `tokenizer.json`. */
export const compiledName = 'tokenizer.tables';

/** text[start, end) is the value of a field of the model. */
export interface Range {
  start: number;
  end: number;
}

export interface VocabularyTables {
  vocab: { index: TokenIndex; range: Range };
  merges?: { list: MergeList; range: Range };
}

/** What a file holds. */
export interface CompiledTables {
  index: TokenIndex;
  /** Left, right, joined by turns, int32 [3 * merges], and the slots of their table. */
  merges?: { ids: Int32Array; slots: Int32Array };
  /** The text with null in the place of vocabulary and merges. */
  rest: string;
}

/** A text that comes in pieces, none of which is kept. */
export interface TextInPieces {
  bytes: number;
  each(take: (piece: Uint8Array) => void): void;
}

/** The last character is the version: of this layout, and of the hashes of both tables. */
const magic = Buffer.from('KVTABLE1');
const digestEnd = magic.length + 32;
/** uint32: tokens, bytes of their spellings, merges, and where vocabulary and merges begin and end in the text. */
const headerFields = 7;
const headerEnd = digestEnd + 4 * headerFields;

function startDigest(file: Uint8Array): Hash {
  // Loaded here: a load without such a file has no time for it.
  const { createHash } = process.getBuiltinModule('node:crypto');
  return createHash('sha256').update(file.subarray(digestEnd));
}

function bytesOf({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

/** The file for a text, which the tables were read from. */
export function encodeTables(text: Uint8Array, { vocab, merges }: VocabularyTables): Buffer {
  const { bytes, offsets, ids, slots } = vocab.index.entries;
  const mergeIds = merges?.list.ids ?? new Int32Array(0);
  const mergeSlots = new MergeTable(mergeIds, mergeIds.length / 3).slots;
  const places = [vocab.range.start, vocab.range.end, merges?.range.start ?? 0, merges?.range.end ?? 0];
  const header = Uint32Array.of(ids.length, bytes.length, mergeIds.length / 3, ...places);
  const digest = Buffer.alloc(digestEnd - magic.length);
  const sections = [header, offsets, ids, slots, mergeIds, mergeSlots, bytes].map(bytesOf);
  const file = Buffer.concat([magic, digest, ...sections]);
  startDigest(file).update(text).digest().copy(file, magic.length);
  return file;
}

/** undefined: it is no such file, is damaged, or was made from another text. */
export function decodeTables(bytes: Uint8Array, text: TextInPieces): CompiledTables | undefined {
  // Numbers of four bytes must begin at a multiple of them; and as all other tables it is no Buffer.
  const file = bytes.byteOffset % 4 === 0 ? bytesOf(bytes) : Uint8Array.from(bytes);
  const parts = partsOf(file);
  if (parts === undefined) return undefined;
  const { spellings, mergeIds, mergeSlots, vocab, merges } = parts;
  const cuts = [vocab, ...(merges ? [merges] : [])].sort((a, b) => a.start - b.start);
  if (cuts.some(({ start, end }, i) => start < (cuts[i - 1]?.end ?? 0) || end <= start || end > text.bytes))
    return undefined;
  const rest = new Rest(cuts);
  const digest = startDigest(file);
  text.each((piece) => {
    digest.update(piece);
    rest.add(piece);
  });
  if (!digest.digest().equals(file.subarray(magic.length, digestEnd))) return undefined;
  const { ids, offsets, slots } = spellings;
  const idEnd = endOfIds(ids, idLimit(ids.length));
  if (idEnd === undefined || endOfIds(mergeIds, idEnd) === undefined) return undefined;
  if (!arePlaces(offsets, spellings.bytes.length) || !TokenIndex.areSlots(slots, ids.length))
    return undefined;
  if (!MergeTable.areSlots(mergeSlots, mergeIds.length / 3)) return undefined;
  return {
    index: TokenIndex.of(spellings),
    ...(merges ? { merges: { ids: mergeIds, slots: mergeSlots } } : {}),
    rest: rest.text(),
  };
}

/** Views of a file of the right length. */
function partsOf(file: Uint8Array) {
  if (file.length < headerEnd || !magic.equals(file.subarray(0, magic.length))) return undefined;
  const header = new Uint32Array(file.buffer, file.byteOffset + digestEnd, headerFields);
  const [tokens, length, merges] = [header[0]!, header[1]!, header[2]!];
  const slots = TokenIndex.slotCount(tokens);
  const mergeSlots = MergeTable.slotCount(merges);
  const words = tokens + 1 + tokens + slots + 3 * merges + mergeSlots;
  if (file.length !== headerEnd + 4 * words + length) return undefined;
  let at = headerEnd;
  const take = (count: number): Int32Array => {
    const view = new Int32Array(file.buffer, file.byteOffset + at, count);
    at += 4 * count;
    return view;
  };
  const offsets = take(tokens + 1);
  const spellings = {
    offsets: new Uint32Array(offsets.buffer, offsets.byteOffset, offsets.length),
    ids: take(tokens),
    slots: take(slots),
  };
  const [mergeIds, slotsOfMerges] = [take(3 * merges), take(mergeSlots)];
  if (header[6] === 0 && merges > 0) return undefined;
  return {
    spellings: { ...spellings, bytes: file.subarray(at) },
    mergeIds,
    mergeSlots: slotsOfMerges,
    vocab: { start: header[3]!, end: header[4]! },
    merges: header[6] === 0 ? undefined : { start: header[5]!, end: header[6]! },
  };
}

/** What is left of a text, with null in the place of what is cut out. */
class Rest {
  readonly #parts: Uint8Array[] = [];
  #at = 0;

  /** `cuts`: in order. */
  constructor(readonly cuts: readonly Range[]) {}

  add(piece: Uint8Array): void {
    const begin = this.#at;
    const end = begin + piece.length;
    let from = begin;
    for (const cut of this.cuts) {
      if (cut.end <= begin || cut.start >= end) continue;
      if (from < cut.start) this.#parts.push(piece.slice(from - begin, cut.start - begin));
      if (cut.start >= begin) this.#parts.push(Buffer.from('null'));
      from = Math.min(cut.end, end);
    }
    if (from < end) this.#parts.push(piece.slice(from - begin));
    this.#at = end;
  }

  text(): string {
    return Buffer.concat(this.#parts).toString();
  }
}

/** From 0 to `end`, none before another. */
function arePlaces(offsets: Uint32Array, end: number): boolean {
  let last = 0;
  for (let i = 0; i < offsets.length; ++i) {
    if (offsets[i]! < last) return false;
    last = offsets[i]!;
  }
  return offsets[0] === 0 && last === end;
}

/** One more than the greatest. undefined: one is below 0, or not below `limit`. */
function endOfIds(ids: Int32Array, limit: number): number | undefined {
  let end = 0;
  for (let i = 0; i < ids.length; ++i) {
    const id = ids[i]!;
    if (id < 0 || id >= limit) return undefined;
    if (id >= end) end = id + 1;
  }
  return end;
}

/** Unigram: of all ways to cut a word into pieces the one whose scores add up highest. */
import type { KvasirError } from '../../errors.js';
import { checkStopped } from '../work.js';
import { byteToken } from './bpe.js';
import type { Spellings, TokenSink, WordModel } from './model.js';
import { TokenIndex } from './token-index.js';

const unknownPenalty = 10;
const bytesBetweenChecks = 4096;
const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

export interface UnigramOptions {
  unknownId?: number;
  fallsBack: boolean;
  /** Thrown for an unknown character without an unknown token. */
  missingUnknown: () => KvasirError;
}

/** Edges of a trie over bytes in a hash table: from a node and a byte to a node. */
class ByteTrie {
  /** Int32: key, node; key is node * 256 + byte + 1, 0: free. */
  #slots = new Int32Array(1 << 12);
  #mask = (1 << 11) - 1;
  #nodes = 1;
  #edges = 0;
  /** The id that ends at a node, or -1. */
  #ids = new Int32Array(1 << 10).fill(-1);

  #find(slots: Int32Array, mask: number, key: number): number {
    let slot = Math.imul(key, 0x9e3779b1 | 0);
    slot = (slot ^ (slot >>> 15)) & mask;
    while (slots[2 * slot] !== 0 && slots[2 * slot] !== key) slot = (slot + 1) & mask;
    return 2 * slot;
  }

  /** 0: none. */
  child(node: number, byte: number): number {
    return this.#slots[this.#find(this.#slots, this.#mask, ((node << 8) | byte) + 1) + 1]!;
  }

  id(node: number): number {
    return this.#ids[node]!;
  }

  insert(bytes: Uint8Array, start: number, end: number, id: number): void {
    let node = 0;
    for (let i = start; i < end; ++i) {
      const next = this.child(node, bytes[i]!);
      node = next === 0 ? this.#add(node, bytes[i]!) : next;
    }
    this.#ids[node] = id;
  }

  #add(node: number, byte: number): number {
    if (2 * ++this.#edges > this.#mask) this.#grow();
    const next = this.#nodes++;
    if (next === this.#ids.length) {
      const ids = new Int32Array(2 * next).fill(-1);
      ids.set(this.#ids);
      this.#ids = ids;
    }
    const key = ((node << 8) | byte) + 1;
    const at = this.#find(this.#slots, this.#mask, key);
    this.#slots[at] = key;
    this.#slots[at + 1] = next;
    return next;
  }

  #grow(): void {
    const old = this.#slots;
    const slots = new Int32Array(2 * old.length);
    const mask = 2 * this.#mask + 1;
    for (let i = 0; i < old.length; i += 2) {
      if (old[i] === 0) continue;
      const at = this.#find(slots, mask, old[i]!);
      slots[at] = old[i]!;
      slots[at + 1] = old[i + 1]!;
    }
    this.#slots = slots;
    this.#mask = mask;
  }
}

export class UnigramModel implements WordModel {
  readonly #index: TokenIndex;
  readonly #trie = new ByteTrie();
  readonly #fallback: (number | undefined)[];
  readonly #unknownScore: number;

  /** `pieces`: by id. Of equal spellings the last has the id. */
  constructor(
    readonly pieces: readonly string[],
    readonly scores: Float64Array,
    readonly options: UnigramOptions,
  ) {
    this.#index = new TokenIndex(pieces.length, 8 * pieces.length);
    pieces.forEach((piece, id) => {
      this.#index.add(piece, id);
    });
    this.#index.forEach((bytes, start, end, id) => {
      this.#trie.insert(bytes, start, end, id);
    });
    this.#fallback = Array.from({ length: 256 }, (_, byte) =>
      options.fallsBack ? this.#index.get(byteToken(byte)) : undefined,
    );
    this.#unknownScore =
      scores.reduce((least, score) => Math.min(least, score), Number.POSITIVE_INFINITY) - unknownPenalty;
  }

  get size(): number {
    return this.pieces.length;
  }

  get idEnd(): number {
    return this.pieces.length;
  }

  idOf(token: string): number | undefined {
    return this.#index.get(token);
  }

  tokenOf(id: number): string | undefined {
    return this.pieces[id];
  }

  spellings(): Spellings {
    const offsets = new Uint32Array(this.pieces.length + 1);
    this.pieces.forEach((piece, id) => {
      offsets[id + 1] = offsets[id]! + Buffer.byteLength(piece);
    });
    const bytes = new Uint8Array(offsets[this.pieces.length]!);
    this.pieces.forEach((piece, id) => {
      encoder.encodeInto(piece, bytes.subarray(offsets[id]));
    });
    return { bytes, offsets };
  }

  encode(text: string, from: number, to: number, tokens: TokenSink): void {
    const bytes = encoder.encode(text.slice(from, to));
    const { starts, ids } = this.#bestPath(bytes);
    // From the end: where each piece begins. Unknown ones that touch are one.
    const cuts = new Int32Array(bytes.length + 1);
    cuts[0] = bytes.length;
    let last = 0;
    let unknownBefore = false;
    for (let end = bytes.length; end > 0; end = starts[end]!) {
      const unknown = ids[end] === this.options.unknownId;
      if (!(unknown && unknownBefore)) ++last;
      cuts[last] = starts[end]!;
      unknownBefore = unknown;
    }
    for (let i = last; i > 0; --i) this.#pushPiece(bytes, cuts[i]!, cuts[i - 1]!, tokens);
  }

  /** By end in bytes: where the best piece begins, and its id. */
  #bestPath(bytes: Uint8Array): { starts: Int32Array; ids: Int32Array } {
    const size = bytes.length;
    const scores = new Float64Array(size + 1);
    const starts = new Int32Array(size + 1).fill(-1);
    const ids = new Int32Array(size + 1).fill(-1);
    const offer = (start: number, end: number, id: number, score: number): void => {
      const total = score + scores[start]!;
      if (starts[end]! >= 0 && total <= scores[end]!) return;
      scores[end] = total;
      starts[end] = start;
      ids[end] = id;
    };
    let asked = bytesBetweenChecks;
    for (let start = 0; start < size; ) {
      if (start >= asked) {
        checkStopped();
        asked = start + bytesBetweenChecks;
      }
      const width = widthOfLead(bytes[start]!);
      let single = false;
      let node = 0;
      for (let end = start; end < size; ) {
        node = this.#trie.child(node, bytes[end]!);
        if (node === 0) break;
        ++end;
        const id = this.#trie.id(node);
        if (id < 0) continue;
        offer(start, end, id, this.scores[id]!);
        single ||= end - start === width;
      }
      if (!single) {
        if (this.options.unknownId === undefined) throw this.options.missingUnknown();
        offer(start, start + width, this.options.unknownId, this.#unknownScore);
      }
      start += width;
    }
    return { starts, ids };
  }

  #pushPiece(bytes: Uint8Array, start: number, end: number, tokens: TokenSink): void {
    const id = this.#index.findBytes(bytes, start, end);
    if (id >= 0) {
      tokens.push(id, start, end);
      return;
    }
    const piece = bytes.subarray(start, end);
    if (this.options.fallsBack && piece.every((byte) => this.#fallback[byte] !== undefined)) {
      for (const byte of piece) tokens.push(this.#fallback[byte]!, start, end);
      return;
    }
    if (this.options.unknownId === undefined) throw this.options.missingUnknown();
    if (tokens.tracked) tokens.values.set(tokens.count, decoder.decode(piece));
    tokens.push(this.options.unknownId, start, end);
  }
}

function widthOfLead(byte: number): number {
  if (byte < 0x80) return 1;
  if (byte < 0xe0) return 2;
  return byte < 0xf0 ? 3 : 4;
}

/**
 * A row of logits of which only some tokens may be drawn: what is not allowed is -infinity, and sums are over the rest. The
 * sampler's stages see a row like any other.
 */
import { KvasirError } from '../errors.js';
import { LargestFinder } from './largest.js';
import type { LogitRow } from './sampling-options.js';

/** Which tokens may follow. */
export interface TokenMask {
  /** Bit id % 32 of word id / 32. */
  bits: Uint32Array;
  /** How many. */
  allowed: number;
}

/** As many as native's candidates. */
const candidates = 256;
/** Fewer allowed tokens than this are looked at one by one. */
const few = 1024;
/** Below this part of the mass a difference has lost too many digits. */
const safeRemainder = 0.05;

/** Buffers for the masked rows of one vocabulary; the row that is made lasts until the next one. */
export class MaskedRows {
  readonly #vocabSize: number;
  #finder: LargestFinder | undefined;
  #values: Float32Array | undefined;
  #ids: Int32Array | undefined;
  #logits: Float32Array | undefined;

  constructor(vocabSize: number) {
    this.#vocabSize = vocabSize;
  }

  /** @param row with all its logits. @param temperature of its log-sum-exp; 0 counts as 1. */
  row(row: LogitRow, mask: TokenMask, temperature: number): LogitRow {
    const { full } = row;
    if (!full || mask.allowed === 0) throw new KvasirError('INTERNAL', 'A structure allows no token here.');
    const [ids, logits] = mask.allowed <= few ? this.#all(full, mask) : this.#filtered(row, full, mask);
    const rows = this;
    let values: Float32Array | undefined;
    // By temperature, once each.
    const sums = new Map<number, number>();
    const sumAt = (whole: number, t: number) => {
      const sum = sums.get(t) ?? logSumExpOf(full, whole, mask, t, logits[0]);
      sums.set(t, sum);
      return sum;
    };
    return {
      ids,
      logits,
      complete: ids.length === mask.allowed,
      get logSumExp() {
        return sumAt(row.logSumExp, temperature || 1);
      },
      get logSumExp1() {
        return sumAt(row.logSumExp1, 1);
      },
      get full() {
        values ??= rows.#masked(full, mask);
        return values;
      },
    };
  }

  /** Every allowed token, the largest first. */
  #all(full: Float32Array, mask: TokenMask): [Int32Array, Float32Array] {
    const ids = new Int32Array(mask.allowed);
    const logits = new Float32Array(mask.allowed);
    let n = 0;
    forEach(mask.bits, (id) => {
      ids[n] = id;
      logits[n++] = full[id];
    });
    this.#find().sortPairs(logits, ids, n);
    return [ids, logits];
  }

  /** Native's candidates that are allowed; without any, the largest of the allowed. */
  #filtered(row: LogitRow, full: Float32Array, mask: TokenMask): [Int32Array, Float32Array] {
    this.#ids ??= new Int32Array(candidates);
    this.#logits ??= new Float32Array(candidates);
    const ids = this.#ids;
    const logits = this.#logits;
    let n = 0;
    for (let i = 0; i < row.ids.length; i++) {
      const id = row.ids[i];
      if (!isAllowed(mask.bits, id)) continue;
      ids[n] = id;
      logits[n++] = row.logits[i];
    }
    if (n === 0) {
      n = this.#find().find(
        this.#masked(full, mask),
        this.#vocabSize,
        Math.min(candidates, mask.allowed),
        ids,
      );
      for (let i = 0; i < n; i++) logits[i] = full[ids[i]];
    }
    return [ids.subarray(0, n), logits.subarray(0, n)];
  }

  #find(): LargestFinder {
    this.#finder ??= new LargestFinder(this.#vocabSize);
    return this.#finder;
  }

  #masked(full: Float32Array, mask: TokenMask): Float32Array {
    this.#values ??= new Float32Array(this.#vocabSize);
    const values = this.#values.fill(Number.NEGATIVE_INFINITY);
    forEach(mask.bits, (id) => {
      values[id] = full[id];
    });
    return values;
  }
}

export function isAllowed(bits: Uint32Array, id: number): boolean {
  return ((bits[id >>> 5] >>> (id & 31)) & 1) === 1;
}

/** The one token of a mask that allows no other. */
export function onlyOf({ bits }: TokenMask): number {
  const word = bits.findIndex((one) => one !== 0);
  return word * 32 + 31 - Math.clz32(bits[word]);
}

function forEach(bits: Uint32Array, visit: (id: number) => void): void {
  for (let word = 0; word < bits.length; word++) {
    for (let rest = bits[word]; rest !== 0; rest &= rest - 1)
      visit(word * 32 + 31 - Math.clz32(rest & -rest));
  }
}

/** Those that are not allowed, ascending. @param end ids of the row */
function forEachOther(bits: Uint32Array, end: number, visit: (id: number) => void): void {
  for (let word = 0; word * 32 < end; word++) {
    const tail = end - word * 32;
    const ids = tail < 32 ? 2 ** tail - 1 : -1;
    for (let rest = ~bits[word] & ids; rest !== 0; rest &= rest - 1)
      visit(word * 32 + 31 - Math.clz32(rest & -rest));
  }
}

/** Over the allowed tokens; by what is taken away where that is less and leaves enough. */
function logSumExpOf(
  full: Float32Array,
  whole: number,
  { bits, allowed }: TokenMask,
  temperature: number,
  largest: number,
): number {
  if (allowed > full.length / 2) {
    let taken = 0;
    forEachOther(bits, full.length, (id) => {
      taken += Math.exp(full[id] / temperature - whole);
    });
    if (1 - taken > safeRemainder) return whole + Math.log1p(-taken);
  }
  let sum = 0;
  forEach(bits, (id) => {
    sum += Math.exp((full[id] - largest) / temperature);
  });
  return largest / temperature + Math.log(sum);
}

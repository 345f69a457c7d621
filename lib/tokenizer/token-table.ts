/**
 * The spellings of all tokens and the decoder, so that the thread that streams text needs no tokenizer. The worker builds it
 * once (`build-token-table.ts`) and hands it over.
 */
import { KvasirError } from '../errors.js';
import { show } from '../given.js';
import { createDecoder, type Decoder, joined } from './decoders/decoder.js';
import { type TokenPlan, tokenBytes, tokenPlan } from './decoders/token-plan.js';
import type { Component } from './definition.js';
import { checkTextLength } from './work.js';

/** Plain data: crosses from the worker by transfer. */
export interface TokenTableData {
  /** UTF-8 of all spellings, one after the other. */
  bytes: Uint8Array;
  /** [size + 1] where each begins in `bytes`. */
  offsets: Uint32Array;
  /** [size] 1: special, left out of texts by default. */
  special: Uint8Array;
  decoder: Component | null;
}

export const space = 0x20;
const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });

/** Bytes that one token may add to a text, and ids that are decoded at once. */
const longestToken = 2 ** 22;
const mostDecoded = 2 ** 21;

function tooLong(problem: string): KvasirError {
  return new KvasirError('LIMIT_EXCEEDED', `${problem}: that is too much to decode at once.`);
}

export class TokenTable {
  readonly #decoder: Decoder;
  readonly #plan: TokenPlan | undefined;
  /** Of tokens that were asked for. */
  readonly #bytes = new Map<number, Uint8Array>();
  readonly #firstBytes = new Map<number, Uint8Array>();

  /** Throws MODEL_FORMAT for a decoder that there is not. */
  constructor(readonly data: TokenTableData) {
    this.#decoder = createDecoder(data.decoder);
    this.#plan = tokenPlan(data.decoder);
  }

  /** Number of ids, holes included. */
  get size(): number {
    return this.data.special.length;
  }

  /** Spaces that the decoder takes from the front of a text. */
  get leadingSpaces(): number {
    return this.#plan?.leadingSpaces ?? 0;
  }

  /** What a token becomes depends on its neighbours: only whole sequences can be decoded. */
  get looksAround(): boolean {
    return this.#plan === undefined;
  }

  /** Ascending. */
  specialIds(): number[] {
    const ids: number[] = [];
    const { special } = this.data;
    for (let id = special.indexOf(1); id >= 0; id = special.indexOf(1, id + 1)) ids.push(id);
    return ids;
  }

  isSpecial(id: number): boolean {
    return this.data.special[id] === 1;
  }

  /** `atStart`: as the first token of a text; the decoder's leading spaces are still there. Throws INVALID_OPTION. */
  bytesOf(id: number, atStart = false): Uint8Array {
    const steps = (atStart && this.#plan?.first) || this.#plan?.steps;
    if (this.#plan === undefined || steps === undefined)
      return Buffer.from(this.#decoder([this.spellingOf(id)]).join(''));
    const known = steps === this.#plan.first ? this.#firstBytes : this.#bytes;
    let bytes = known.get(id);
    if (bytes === undefined) {
      bytes = tokenBytes(this.spellingOf(id), steps, this.#plan.byteLevel);
      if (bytes.length > longestToken) throw tooLong(`The token ${id} stands for ${bytes.length} bytes`);
      known.set(id, bytes);
    }
    return bytes;
  }

  /** What one token adds to a text, not kept: for all of them at once. Undefined where that depends on its neighbours. */
  ownBytes(id: number): Uint8Array | undefined {
    const plan = this.#plan;
    return plan && (this.#bytes.get(id) ?? tokenBytes(this.spellingOf(id), plan.steps, plan.byteLevel));
  }

  /** Throws INVALID_OPTION for what is no id of a token. */
  checkId(id: unknown): void {
    if (Number.isInteger(id) && (id as number) >= 0 && (id as number) < this.size) return;
    throw new KvasirError(
      'INVALID_OPTION',
      `${show(id)} is no token id; this model has ids from 0 to ${this.size - 1}.`,
    );
  }

  /** As the vocabulary has it. Throws INVALID_OPTION. */
  spellingOf(id: number): string {
    this.checkId(id);
    const { bytes, offsets } = this.data;
    return utf8.decode(bytes.subarray(offsets[id], offsets[id + 1]));
  }

  /**
   * The text of a sequence. Bytes that are no UTF-8 become U+FFFD: by the rule of the web where tokens spell bytes, and for
   * each byte of a run where bytes have tokens of their own, as in the reference.
   */
  decode(ids: ArrayLike<number>, skipSpecialTokens: boolean): string {
    if (ids.length > mostDecoded) throw tooLong(`${ids.length} ids are more than ${mostDecoded}`);
    const tokens: string[] = [];
    let length = 0;
    for (let i = 0; i < ids.length; ++i) {
      const id = ids[i]!;
      const spelling = this.spellingOf(id);
      length += spelling.length;
      checkTextLength(length);
      if (spelling !== '' && !(skipSpecialTokens && this.isSpecial(id))) tokens.push(spelling);
    }
    return joined(this.#decoder(tokens));
  }
}

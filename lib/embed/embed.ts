/**
 * Vectors of texts. Texts of any lengths run side by side in the engine's steps without padding, the long ones of each
 * few hundred first; each gets the bits that it gets alone.
 */
import { setMaxListeners } from 'node:events';
import { type Engine, overflowError } from '../engine/engine.js';
import { takeHidden } from '../engine/hidden-request.js';
import { invalidOption } from '../options.js';
import { applyDense } from './dense.js';
import type { EmbedSettings } from './embed-options.js';
import { normalize, Pool, rowsOf } from './pooling.js';

/** Texts that are tokenized and sorted at a time: what waits is bounded. */
const WINDOW = 512;
/** Texts that are handed to the tokenizer in one breath, which takes the thread a fraction of a millisecond each. */
const ENCODED_AT_ONCE = 32;
/** Texts in the engine at a time: half of a step's sequences, so that others run beside them. */
const AT_ONCE = 32;

/** What embedding needs of a model. */
export interface Embedder {
  engine: Engine;
  contextLength: number;
  /** Components of a hidden state. */
  size: number;
  /** What `loadAdapter` gave. Default: none. */
  adapter?: number;
  encode(text: string, signal: AbortSignal | undefined): Promise<Int32Array>;
  isSpecial(id: number): boolean;
}

/** A text that was longer than the context. */
export interface ShortenedText {
  index: number;
  tokens: number;
  /** Tokens that count; all of them, in `pieces` pieces, where the text was cut into chunks. */
  kept: number;
  pieces: number;
}

/** One vector [dimensions] a text, in their order, and what it took. */
export interface Embeddings extends Array<Float32Array> {
  /** Tokens of all texts, special ones and prompts included. */
  readonly tokens: number;
  readonly shortened: readonly ShortenedText[];
}

/** Throws CONTEXT_OVERFLOW naming the text, INVALID_OPTION, DISPOSED or the signal's reason. */
export async function embedTexts(
  embedder: Embedder,
  texts: readonly string[],
  settings: EmbedSettings,
): Promise<Embeddings> {
  const work = new Embedding(embedder, texts, settings);
  return work.run();
}

class Embedding {
  readonly #vectors: Float32Array[] = [];
  readonly #shortened: ShortenedText[] = [];
  /** Ends what still runs when one text fails. */
  readonly #stop = new AbortController();
  readonly #signal: AbortSignal;
  /** Tokens of the longest text. */
  readonly #limit: number;
  #tokens = 0;
  #done = 0;
  /** Leading tokens that the pooling leaves out. */
  #skipped = 0;

  constructor(
    readonly embedder: Embedder,
    readonly texts: readonly string[],
    readonly settings: EmbedSettings,
  ) {
    const { signal } = settings;
    this.#limit = Math.min(embedder.contextLength, settings.longestText ?? embedder.contextLength);
    this.#signal = signal ? AbortSignal.any([signal, this.#stop.signal]) : this.#stop.signal;
    // Hundreds of texts wait at a time, and each listens.
    setMaxListeners(0, this.#signal);
  }

  async run(): Promise<Embeddings> {
    try {
      await this.#measurePrompt();
      for (let from = 0; from < this.texts.length; from += WINDOW) await this.#window(from);
    } catch (error) {
      this.#stop.abort(error);
      throw error;
    }
    const shortened = this.#shortened.sort((a, b) => a.index - b.index);
    return Object.assign(this.#vectors, { tokens: this.#tokens, shortened });
  }

  /** As sentence-transformers counts: the prompt with what precedes a text, without what ends one. */
  async #measurePrompt(): Promise<void> {
    const { prompt, includePrompt } = this.settings;
    if (prompt === '' || includePrompt) return;
    const ids = await this.embedder.encode(prompt, this.#signal);
    const ended = ids.length > 0 && this.embedder.isSpecial(ids[ids.length - 1]);
    this.#skipped = ended ? ids.length - 1 : ids.length;
  }

  async #window(from: number): Promise<void> {
    const texts = this.texts.slice(from, from + WINDOW);
    const { prompt } = this.settings;
    const encoded: Int32Array[] = [];
    for (let i = 0; i < texts.length; i += ENCODED_AT_ONCE) {
      const some = texts.slice(i, i + ENCODED_AT_ONCE);
      const ids = await Promise.all(some.map((text) => this.embedder.encode(prompt + text, this.#signal)));
      encoded.push(...ids);
    }
    const longestFirst = encoded
      .map((ids, i) => ({ ids, index: from + i }))
      .sort((a, b) => b.ids.length - a.ids.length);
    const next = longestFirst.values();
    const worker = async () => {
      for (const { ids, index } of next) await this.#one(ids, index);
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
  }

  async #one(ids: Int32Array, index: number): Promise<void> {
    if (ids.length === 0)
      throw invalidOption(`texts[${index}]`, 'without a token', 'a text of at least one token');
    this.#tokens += ids.length;
    const vector = (await this.#vectorOf(ids, index)).subarray(0, this.settings.dimensions);
    if (this.settings.normalize) normalize(vector);
    this.#vectors[index] = Float32Array.from(vector);
    this.settings.onProgress?.({ done: ++this.#done, total: this.texts.length });
  }

  async #vectorOf(ids: Int32Array, index: number): Promise<Float64Array> {
    if (ids.length <= this.#limit) return this.#pooled(ids, this.#skipped);
    const pieces = await this.#pieces(ids, index);
    let sum: Float64Array | undefined;
    for (const [i, piece] of pieces.entries()) {
      const vector = await this.#pooled(piece, i === 0 ? this.#skipped : 0);
      if (pieces.length === 1) return vector;
      normalize(vector);
      sum ??= new Float64Array(vector.length);
      for (let k = 0; k < sum.length; k++) sum[k] += (piece.length / ids.length) * vector[k];
    }
    return sum!;
  }

  /** Each with what stands around a text. Throws CONTEXT_OVERFLOW where that was asked for. */
  async #pieces(ids: Int32Array, index: number): Promise<Int32Array[]> {
    const { overflow } = this.settings;
    if (overflow === 'error') throw overflowError(ids.length, this.#limit, 'the context', 'contextLength');
    // What stands around the tokens of a text.
    const around = await this.embedder.encode('', this.#signal);
    const different = around.findIndex((id, i) => id !== ids[i]);
    const before = around.subarray(0, different < 0 ? around.length : different);
    const after = around.subarray(before.length);
    const content = ids.subarray(before.length, ids.length - after.length);
    const room = this.#limit - around.length;
    if (room < 1) throw overflowError(around.length + 1, this.#limit, 'the context', 'contextLength');
    const parts = overflow === 'truncate' ? [content.subarray(0, room)] : chunksOf(content, room);
    const kept = overflow === 'truncate' ? this.#limit : ids.length;
    this.#shortened.push({ index, tokens: ids.length, kept, pieces: parts.length });
    return parts.map((part) => Int32Array.from([...before, ...part, ...after]));
  }

  async #pooled(tokens: Int32Array, skipped: number): Promise<Float64Array> {
    const { engine, size, adapter } = this.embedder;
    const pool = new Pool(this.settings.pooling, size);
    const rows = rowsOf(this.settings.pooling, skipped, tokens.length);
    if (rows.from < rows.to) {
      const take = (row: Float32Array, position: number) => pool.take(row, position);
      await takeHidden(engine, { tokens, ...rows, take, adapter, signal: this.#signal });
    }
    return this.settings.dense.reduce((vector, dense) => applyDense(dense, vector), pool.result());
  }
}

/** Pieces of at most `length` tokens, about equally long, that overlap by an eighth of `length`. */
export function chunksOf(ids: Int32Array, length: number): Int32Array[] {
  const overlap = Math.floor(length / 8);
  const count = Math.ceil((ids.length - overlap) / (length - overlap));
  const stride = (ids.length - overlap) / count;
  return Array.from({ length: count }, (_, i) => {
    const from = Math.floor(i * stride);
    return ids.subarray(from, Math.min(ids.length, Math.floor((i + 1) * stride) + overlap));
  });
}

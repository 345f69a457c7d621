/**
 * A native model without a native model: the next token is a fixed function of the tokens before it. It keeps the
 * whole contract of `NativeModel` (pages, copy on write, one step at a time, no sequence operation during a step) and
 * throws where a caller breaks it.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import {
  type NativeModel,
  type NativeModelInfo,
  type StepBatch,
  type StepResult,
  WANTS_HIDDEN,
} from '../../lib/native.js';

export interface FakeOptions {
  vocabSize?: number;
  kvCapacity?: number;
  kvPageSize?: number;
  /** States of sequences; 0, the default: it has none. */
  stateSlots?: number;
  /** Milliseconds of a step, and of each token in it. */
  stepMs?: number;
  tokenMs?: number;
  /** Never give this token: an end-of-text id that would end runs at random. */
  banned?: number;
}

/** By the global timer, which a test may replace. Rejects when the signal aborts. */
function pass(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}

interface Page {
  references: number;
}

interface Sequence {
  tokens: number[];
  pages: Page[];
  cancelled: boolean;
  adapter?: number;
}

export interface StepRecord {
  sequences: number[];
  counts: number[];
  startedAt: number;
  endedAt: number;
}

export class FakeNative implements NativeModel {
  readonly info: NativeModelInfo;
  readonly steps: StepRecord[] = [];
  readonly cancelled: number[] = [];
  /** The next step rejects with this. */
  failure: Error | undefined;
  disposed = false;
  readonly #options: Required<FakeOptions>;
  readonly #sequences = new Map<number, Sequence>();
  #nextId = 1;
  #usedPages = 0;
  #running: Promise<void> | undefined;
  #stop: (() => void) | undefined;

  constructor(options: FakeOptions = {}) {
    const sizes = { vocabSize: 300, kvCapacity: 4096, kvPageSize: 16, stateSlots: 0 };
    const defaults = { ...sizes, stepMs: 0, tokenMs: 0, banned: -1 };
    this.#options = { ...defaults, ...options };
    this.info = {
      device: 'cpu',
      gpuLayers: 0,
      kernels: 'fake',
      threads: 1,
      parameters: 0,
      weightBytes: 0,
      scaleBytes: 0,
      kvBytesPerToken: 1,
      kvCapacity: this.#options.kvCapacity,
      kvPageSize: this.#options.kvPageSize,
      stateSlots: this.#options.stateSlots,
      stateBytes: this.#options.stateSlots > 0 ? 8 : 0,
      stepTokens: 512,
      scratchBytes: 0,
      linears: {},
    };
  }

  get liveSequences(): number {
    return this.#sequences.size;
  }

  get usedPages(): number {
    return this.#usedPages;
  }

  createSequence(): number {
    this.#between();
    this.#sequences.set(this.#nextId, { tokens: [], pages: [], cancelled: false });
    return this.#nextId++;
  }

  forkSequence(id: number, length: number): number {
    this.#between();
    const source = this.#get(id);
    if (length > source.tokens.length) throw new Error('fork past the end');
    this.#checkState(source, length);
    const pages = source.pages.slice(0, Math.ceil(length / this.#options.kvPageSize));
    for (const page of pages) page.references++;
    this.#sequences.set(this.#nextId, {
      tokens: source.tokens.slice(0, length),
      pages,
      cancelled: false,
      adapter: source.adapter,
    });
    return this.#nextId++;
  }

  truncateSequence(id: number, length: number): void {
    this.#between();
    const sequence = this.#get(id);
    this.#checkState(sequence, length);
    sequence.tokens.length = length;
    for (const page of sequence.pages.splice(Math.ceil(length / this.#options.kvPageSize))) this.#unref(page);
  }

  freeSequence(id: number): void {
    this.#between();
    for (const page of this.#get(id).pages) this.#unref(page);
    this.#sequences.delete(id);
  }

  /** A state is that of a sequence's end. */
  #checkState(sequence: Sequence, length: number): void {
    if (this.#options.stateSlots === 0 || length === 0 || length === sequence.tokens.length) return;
    throw new Error('no state in the middle of a sequence');
  }

  sequenceLength(id: number): number {
    return this.#get(id).tokens.length;
  }

  freePositions(): number {
    const { kvCapacity, kvPageSize } = this.#options;
    return kvCapacity - this.#usedPages * kvPageSize;
  }

  cancelSequence(id: number): void {
    const sequence = this.#get(id);
    sequence.cancelled = true;
    this.cancelled.push(id);
    this.#stop?.();
  }

  /** Each sequence that holds tokens has a state, and each of a step takes another one. */
  #checkStates(batch: StepBatch): void {
    const { stateSlots } = this.#options;
    if (stateSlots === 0) return;
    const held = [...this.#sequences.values()].filter(({ tokens }) => tokens.length > 0).length;
    if (held + batch.sequences.length > stateSlots) throw new Error('out of states');
  }

  async step(batch: StepBatch): Promise<StepResult> {
    this.#between();
    const record = this.#check(batch);
    this.#checkStates(batch);
    this.steps.push(record);
    let finish = () => {};
    this.#running = new Promise((resolve) => {
      finish = resolve;
    });
    try {
      const interrupted = await this.#work(batch);
      if (this.failure) {
        const failure = this.failure;
        this.failure = undefined;
        throw failure;
      }
      if (interrupted) return this.#result(batch, true, []);
      return this.#result(batch, false, this.#append(batch));
    } finally {
      record.endedAt = performance.now();
      this.#running = undefined;
      this.#stop = undefined;
      finish();
    }
  }

  async dispose(): Promise<void> {
    this.disposed = true;
    await this.#running;
    this.#sequences.clear();
  }

  /** True when all sequences were cancelled before the time was over. */
  async #work(batch: StepBatch): Promise<boolean> {
    const milliseconds = this.#options.stepMs + this.#options.tokenMs * batch.tokens.length;
    const stop = new AbortController();
    const allCancelled = () => [...batch.sequences].every((id) => this.#get(id).cancelled);
    this.#stop = () => allCancelled() && stop.abort();
    try {
      if (milliseconds > 0) await pass(milliseconds, stop.signal);
      else await nextTurn();
    } catch {
      return true;
    }
    return allCancelled();
  }

  /** Logits after each wanted row. */
  #append(batch: StepBatch): Float32Array[] {
    const rows: Float32Array[] = [];
    const wanted = new Set(batch.rows);
    let place = 0;
    batch.sequences.forEach((id, i) => {
      const sequence = this.#get(id);
      const adapter = batch.adapters?.[i] ?? -1;
      // Keys and values of one adapter are no use to another one.
      if ((sequence.adapter ?? adapter) !== adapter) throw new Error('another adapter');
      sequence.adapter = adapter;
      for (let n = 0; n < batch.counts[i]; n++) {
        this.#grow(sequence);
        sequence.tokens.push(batch.tokens[place]);
        if (wanted.has(place))
          rows.push(
            fakeLogits(
              [...adapterTokens(adapter), ...sequence.tokens],
              this.#options.vocabSize,
              this.#options.banned,
            ),
          );
        place++;
      }
    });
    return rows;
  }

  /** Makes room for one position; a page that others hold too is copied first. */
  #grow(sequence: Sequence): void {
    const { pages, tokens } = sequence;
    if (tokens.length % this.#options.kvPageSize === 0) {
      pages.push(this.#takePage());
    } else if (pages[pages.length - 1].references > 1) {
      const copy = this.#takePage();
      this.#unref(pages[pages.length - 1]);
      pages[pages.length - 1] = copy;
    }
  }

  /** Appends tokens at once, as a step does. */
  append(id: number, tokens: Iterable<number>): void {
    const sequence = this.#get(id);
    for (const token of tokens) {
      this.#grow(sequence);
      sequence.tokens.push(token);
    }
  }

  #takePage(): Page {
    if (this.freePositions() < this.#options.kvPageSize) throw new Error('out of pages');
    this.#usedPages++;
    return { references: 1 };
  }

  #unref(page: Page): void {
    if (--page.references === 0) this.#usedPages--;
  }

  #result(batch: StepBatch, cancelled: boolean, logits: Float32Array[]): StepResult {
    const candidates = Math.min(256, this.#options.vocabSize);
    const ids: number[] = [];
    const values: number[] = [];
    for (const row of logits) {
      // Logits are multiples of 2^-29 below 8, so value and id fit one exact number; the banned one sorts last.
      const keys = Float64Array.from(row, (logit, id) => Math.max(0, 8 - logit) * 2 ** 40 + id).sort();
      for (const key of keys.subarray(0, candidates)) {
        const id = key % 2 ** 11;
        ids.push(id);
        values.push(row[id]);
      }
    }
    return {
      cancelled,
      candidateIds: Int32Array.from(ids),
      candidateLogits: Float32Array.from(values),
      candidates,
      logSumExp: Float64Array.from(logits, (row, i) => logSumExp(row, batch.temperatures[i] || 1)),
      logSumExp1: Float64Array.from(logits, (row) => logSumExp(row, 1)),
      targetLogits: Float32Array.from(logits, (row, i) => row[batch.targets[i]] ?? Number.NaN),
      fullLogits: logits.map((row, i) => (batch.fullLogits[i] ? row : null)),
      hidden: logits.map((row, i) => ((batch.wants?.[i] ?? 0) & WANTS_HIDDEN ? fakeHidden(row) : null)),
    };
  }

  #check(batch: StepBatch): StepRecord {
    const sum = batch.counts.reduce((total, count) => total + count, 0);
    if (batch.sequences.length === 0) throw new Error('empty step');
    if (sum !== batch.tokens.length) throw new Error('counts and tokens disagree');
    if (batch.counts.some((count) => count < 1)) throw new Error('a sequence without tokens');
    if (new Set(batch.sequences).size !== batch.sequences.length) throw new Error('a sequence twice');
    for (const id of batch.sequences) this.#get(id);
    for (let i = 1; i < batch.rows.length; i++)
      if (batch.rows[i] <= batch.rows[i - 1]) throw new Error('rows');
    for (const token of batch.tokens) {
      if (token < 0 || token >= this.#options.vocabSize) throw new Error('token outside the vocabulary');
    }
    return {
      sequences: [...batch.sequences],
      counts: [...batch.counts],
      startedAt: performance.now(),
      endedAt: 0,
    };
  }

  #between(): void {
    if (this.disposed) throw new Error('used after dispose');
    if (this.#running) throw new Error('sequence operation during a step');
  }

  #get(id: number): Sequence {
    const sequence = this.#sequences.get(id);
    if (!sequence) throw new Error(`no sequence ${id}`);
    return sequence;
  }
}

function logSumExp(row: Float32Array, temperature: number): number {
  let sum = 0;
  const max = row.reduce((a, b) => Math.max(a, b)) / temperature;
  for (const logit of row) sum += Math.exp(logit / temperature - max);
  return max + Math.log(sum);
}

/** What a fake adapter does: as if its number stood before all tokens. */
function adapterTokens(adapter: number): number[] {
  return adapter < 0 ? [] : [adapter + 1];
}

/** The hidden state that gives such logits. */
export function fakeHidden(logits: Float32Array): Float32Array {
  return logits.subarray(0, 4).map((logit) => -logit);
}

/** Logits that depend on every token so far, and on their order. */
export function fakeLogits(tokens: readonly number[], vocabSize: number, banned = -1): Float32Array {
  let hash = 2166136261;
  for (const token of tokens) hash = Math.imul(hash ^ (token + 1), 16777619);
  const logits = new Float32Array(vocabSize);
  for (let id = 0; id < vocabSize; id++) {
    const mixed = Math.imul(hash ^ Math.imul(id + 1, 0x9e3779b1), 0x85ebca6b);
    logits[id] = ((mixed ^ (mixed >>> 15)) >>> 0) / 2 ** 29;
  }
  if (banned >= 0) logits[banned] = -100;
  return logits;
}

/** What greedy decoding gives after `prompt`. */
export function fakeGreedy(prompt: readonly number[], count: number, vocabSize = 300, banned = -1): number[] {
  const tokens = [...prompt];
  for (let n = 0; n < count; n++) {
    const logits = fakeLogits(tokens, vocabSize, banned);
    let best = 0;
    for (let id = 1; id < vocabSize; id++) if (logits[id] > logits[best]) best = id;
    tokens.push(best);
  }
  return tokens.slice(prompt.length);
}

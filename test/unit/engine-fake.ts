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
import { adapterTokens, fakeHidden, fakeLogits, logSumExp } from './fake-logits.js';
import { type FakeHeld, FakePages } from './fake-pages.js';

export { fakeGreedy, fakeHidden, fakeLogits } from './fake-logits.js';

export interface FakeOptions {
  vocabSize?: number;
  kvCapacity?: number;
  kvPageSize?: number;
  /** States of sequences; 0, the default: it has none. */
  stateSlots?: number;
  /** More of them, for what is kept; default 0. */
  keptStates?: number;
  /** A second page table beside that of all positions. */
  window?: { window: number; pages: number; checkpoints: number; every: number };
  stepTokens?: number;
  /** Milliseconds of a step, and of each token in it. */
  stepMs?: number;
  tokenMs?: number;
  /** Logits depend on so many last tokens alone; 0, the default: on all. */
  memory?: number;
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

/** As KvTablesOf of native/model/kv_tables.h says. */
function mostCheckpoints({ window, stateSlots = 0, keptStates = 0 }: FakeOptions): number {
  if (stateSlots === 0) return window?.checkpoints ?? 0;
  return Math.min(keptStates, window?.checkpoints ?? keptStates);
}

interface Sequence extends FakeHeld {
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
  readonly #options: Required<Omit<FakeOptions, 'window'>>;
  readonly #pages: FakePages;
  readonly #sequences = new Map<number, Sequence>();
  #nextId = 1;
  #running: Promise<void> | undefined;
  #stop: (() => void) | undefined;

  constructor(options: FakeOptions = {}) {
    const { window, ...rest } = options;
    const sizes = { vocabSize: 300, kvCapacity: 4096, kvPageSize: 16, stepTokens: 512 };
    this.#options = {
      ...sizes,
      stateSlots: 0,
      keptStates: 0,
      stepMs: 0,
      tokenMs: 0,
      memory: 0,
      banned: -1,
      ...rest,
    };
    const { kvCapacity, kvPageSize, stateSlots, keptStates, stepTokens } = this.#options;
    const kvTables = [{ window: 0, pages: Math.floor(kvCapacity / kvPageSize) }];
    if (window) kvTables.push({ window: window.window, pages: window.pages });
    this.#pages = new FakePages(kvTables, kvPageSize);
    this.info = {
      device: 'cpu',
      gpuLayers: 0,
      kernels: 'fake',
      threads: 1,
      parameters: 0,
      weightBytes: 0,
      scaleBytes: 0,
      kvBytes: kvCapacity,
      kvBytesPerToken: 1,
      kvCapacity,
      kvPageSize,
      kvTables,
      checkpoints: { every: window?.every ?? 256, most: mostCheckpoints(options), ofPrompt: 4, bytes: 0 },
      stateSlots,
      keptStates,
      stateBytes: stateSlots > 0 ? 8 : 0,
      stepTokens,
      scratchBytes: 0,
      linears: {},
    };
  }

  get liveSequences(): number {
    return this.#sequences.size;
  }

  /** With all positions, and with a window. */
  get usedPages() {
    return this.#pages.used[0];
  }
  get windowPages() {
    return this.#pages.used[1];
  }

  createSequence(): number {
    this.#between();
    this.#sequences.set(this.#nextId, {
      tokens: [],
      pages: this.info.kvTables.map(() => []),
      cancelled: false,
    });
    return this.#nextId++;
  }

  forkSequence(id: number, length: number): number {
    this.#between();
    const source = this.#get(id);
    this.#checkState(source, length);
    const pages = this.#pages.fork(source, length);
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
    this.#pages.truncate(sequence, length);
  }

  freeSequence(id: number): void {
    this.#between();
    this.#pages.truncate(this.#get(id), 0);
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

  shortestPrefix(id: number): number {
    this.#between();
    const sequence = this.#get(id);
    return this.#options.stateSlots > 0 ? sequence.tokens.length : this.#pages.shortest(sequence);
  }

  freePages(): number[] {
    this.#between();
    return this.#pages.free();
  }

  ownPages(ids: Int32Array): number[] {
    this.#between();
    return this.#pages.own([...ids].map((id) => this.#get(id)));
  }

  cancelSequence(id: number): void {
    const sequence = this.#get(id);
    sequence.cancelled = true;
    this.cancelled.push(id);
    this.#stop?.();
  }

  /** Each sequence that holds tokens has a state, and each of a step takes another one. */
  #checkStates(batch: StepBatch): void {
    const { stateSlots, keptStates } = this.#options;
    if (stateSlots === 0) return;
    const held = [...this.#sequences.values()].filter(({ tokens }) => tokens.length > 0).length;
    if (held + batch.sequences.length > stateSlots + keptStates) throw new Error('out of states');
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
      this.#pages.giveBack(sequence);
      for (let n = 0; n < batch.counts[i]; n++) {
        this.#pages.grow(sequence);
        sequence.tokens.push(batch.tokens[place]);
        if (wanted.has(place))
          rows.push(
            fakeLogits(
              [...adapterTokens(adapter), ...sequence.tokens.slice(-this.#options.memory)],
              this.#options.vocabSize,
              this.#options.banned,
            ),
          );
        place++;
      }
    });
    return rows;
  }

  /** Appends tokens at once, as a step does. */
  append(id: number, tokens: readonly number[]): void {
    if (tokens.length > this.#options.stepTokens) throw new Error('more than a step');
    const sequence = this.#get(id);
    this.#pages.giveBack(sequence);
    for (const token of tokens) {
      this.#pages.grow(sequence);
      sequence.tokens.push(token);
    }
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

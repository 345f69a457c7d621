/**
 * Continuous batching over one native model: requests queue, join the running ones when pages suffice, and every step
 * holds the next tokens of all of them. All calls of sequence operations come from the one loop below, between steps.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { KvasirError } from '../errors.js';
import { Deferred } from './deferred.js';
import { fromNative, type NativeModel, type StepResult } from '../native.js';
import { invalidOption } from '../options.js';
import { CheckpointLengths } from './checkpoints.js';
import { appended, Drafting } from './drafting.js';
import { Pace } from './pace.js';
import { Pages } from './pages.js';
import type { Prefix } from './prefixes.js';
import { planStep, type Slice, type StepPlan } from './plan.js';
import type { Request } from './request.js';

/** Sequences in one step; no native step takes fewer tokens. */
const MAX_ACTIVE = 64;
/** Requests that wait, each with its tokens: beyond, whoever sends them must slow down. */
export const MAX_QUEUED = 16_384;
/** Sampling may hold the event loop so long; then the rest of the step's rows waits for the next turn. */
const SAMPLING_SLICE_MS = 2;
/** Callers that are told something in one turn of it: what they make of it, a server's events, takes a multiple of sampling. */
const TOLD_TOGETHER = 8;
/** Requests that find their pages in one turn, each with a look for a prefix that is kept. */
const ADMITTED_TOGETHER = 16;

interface Visit {
  positions: number;
  /** Never rejects. */
  pay: () => Promise<void>;
  fail: (error: unknown) => void;
}

export class Engine {
  readonly #native: NativeModel;
  readonly #pages: Pages;
  readonly #checkpoints: CheckpointLengths;
  /** A running sequence takes a state and another that its step writes, where a model has any. */
  readonly #mostActive: number;
  readonly #pace: Pace;
  readonly #drafting: Drafting;
  /** Sequences come in one step each: their tokens see later ones. */
  readonly #whole: boolean;
  /** First come, first served. Also requests that were suspended. */
  #queue: Request[] = [];
  /** Those that hold a sequence. */
  #active: Request[] = [];
  #inFlight: StepPlan | undefined;
  /** They look into the model between two steps. */
  #visits: Visit[] = [];
  /** Adapters that are gone, and what requests that name them are told. */
  readonly #ended = new Map<number, unknown>();
  /** Those that took rows of the last step, and have not told their callers yet. */
  #silent: Request[] = [];
  #loop: Promise<void> | undefined;
  #disposed: Promise<void> | undefined;

  constructor(native: NativeModel, contextLength: number, { whole = false } = {}) {
    this.#native = native;
    this.#whole = whole;
    const { stateSlots } = native.info;
    this.#mostActive = stateSlots === 0 ? MAX_ACTIVE : Math.min(MAX_ACTIVE, Math.floor(stateSlots / 2));
    this.#pace = new Pace(native.info.stepTokens);
    this.#drafting = new Drafting(native.info.stepTokens);
    this.#checkpoints = new CheckpointLengths(native.info);
    this.#pages = new Pages(native, contextLength);
  }

  /** Sequences can be cut anywhere: no layer has a state, which is that of a sequence's end alone. */
  get rollsBack(): boolean {
    return this.#native.info.stateSlots === 0;
  }

  /** Throws CONTEXT_OVERFLOW when the request can never run, BUSY when too many wait, DISPOSED after `dispose`. */
  submit(request: Request): void {
    this.throwIfDisposed();
    if (this.#ended.has(request.adapter)) throw this.#ended.get(request.adapter);
    const lacking = this.#pages.tooMany(request);
    if (lacking) {
      const needed = request.branches.length > 1 ? lacking.needed : request.branch.positions;
      throw overflowError(needed, lacking.available, 'the KV cache', 'kvCapacity');
    }
    const { stepTokens } = this.#native.info;
    if (this.#whole && request.branch.length > stepTokens) {
      throw overflowError(request.branch.length, stepTokens, 'a step', 'contextLength');
    }
    if (request.branches.length > this.#mostActive) {
      throw invalidOption('n', request.branches.length, `at most ${this.#mostActive}`);
    }
    if (this.#queue.length >= MAX_QUEUED) {
      throw new KvasirError(
        'BUSY',
        `${MAX_QUEUED} requests wait for this model already: send more when some have ended.`,
        { details: { limit: MAX_QUEUED } },
      );
    }
    this.#queue.push(request);
    this.wake();
  }

  /** Ends a request: it leaves within one step, the others go on. */
  cancel(request: Request): void {
    if (request.settled) return;
    request.abort();
    this.#stopNative(request);
    this.wake();
  }

  /**
   * Calls `look` between two steps, when nothing else uses the native model and so many positions of the cache are free.
   * Throws CONTEXT_OVERFLOW for more positions than there are, DISPOSED, and what `look` throws.
   */
  async visit<T>(positions: number, look: () => Promise<T>): Promise<T> {
    this.throwIfDisposed();
    const { kvCapacity } = this.#native.info;
    if (positions > kvCapacity) throw overflowError(positions, kvCapacity, 'the KV cache', 'kvCapacity');
    const seen = new Deferred<T>();
    this.#visits.push({
      positions,
      pay: () => look().then(seen.resolve.bind(seen), (error) => seen.reject(fromNative(error))),
      fail: seen.reject.bind(seen),
    });
    this.wake();
    return seen.promise;
  }

  /**
   * Ends the requests that go through an adapter, now and later, with this error, and what is kept of it; then `free` runs
   * between two steps. Throws DISPOSED.
   */
  async endAdapter(adapter: number, error: unknown, free: () => void): Promise<void> {
    this.#ended.set(adapter, error);
    for (const request of [...this.#active, ...this.#queue]) {
      if (request.adapter !== adapter) continue;
      request.fail(error);
      this.#stopNative(request);
    }
    await this.visit(0, async () => {
      this.#pages.forgetAdapter(adapter);
      free();
    });
  }

  /** Something changed: a request came, ended, or somebody reads on. */
  wake(): void {
    this.#loop ??= this.#run();
  }

  /** What is kept of an owner's latest sequence. During a visit only. */
  keptOf(owner: object): Prefix | undefined {
    return this.#pages.keptOf(owner);
  }

  /** Keeps a sequence that came from elsewhere for an owner. During a visit only. */
  adopt(prefix: Prefix, owner: object): void {
    this.#pages.adopt(prefix, owner);
  }

  /** The owner of kept sequences is gone. */
  disown(owner: object): void {
    if (this.#disposed) return;
    this.#pages.disown(owner);
  }

  throwIfDisposed(): void {
    if (this.#disposed) throw disposedError();
  }

  /** Ends all requests with DISPOSED, waits for the running step and frees the native model. Idempotent. */
  dispose(): Promise<void> {
    this.#disposed ??= this.#shutDown();
    return this.#disposed;
  }

  async #shutDown(): Promise<void> {
    for (const request of [...this.#active, ...this.#queue]) {
      request.fail(disposedError());
      this.#stopNative(request);
    }
    this.#failVisits(disposedError());
    await this.#loop;
    await this.#native.dispose();
  }

  #stopNative(request: Request): void {
    for (const slice of this.#inFlight?.slices ?? []) {
      if (slice.request !== request || slice.branch.sequence === undefined) continue;
      request.interrupted = true;
      this.#native.cancelSequence(slice.branch.sequence);
    }
  }

  async #run(): Promise<void> {
    try {
      // generate() calls of one turn of the event loop start in one step.
      await nextTurn();
      while (!this.#disposed) {
        for (const request of this.#active) this.#pages.fork(request);
        this.#retire();
        await this.#receive();
        this.#pages.rollBack(this.#active);
        if (this.#admit()) {
          await nextTurn();
          continue;
        }
        this.#drafting.choose(this.#active);
        const plan = planStep(this.#active, this.#pace, this.#whole, this.#checkpoints);
        if (plan) await this.#step(plan);
        // Whom it tells something may read on, and so go on.
        else if (this.#silent.length > 0) await this.#tell();
        else if (this.#visits.length === 0) return;
      }
    } catch (error) {
      for (const request of [...this.#active, ...this.#queue]) request.fail(fromNative(error));
      this.#active = [];
      this.#queue = [];
      this.#failVisits(fromNative(error));
    } finally {
      for (const request of this.#silent.splice(0)) request.emit();
      // In the same turn as the decision to stop: a wake-up after it starts the next loop.
      this.#loop = undefined;
    }
  }

  /** One visit a step, so that the requests go on beside a long inspection. */
  async #receive(): Promise<void> {
    const [visit] = this.#visits;
    if (!visit || !this.#pages.makeRoom(visit.positions, this.#active)) return;
    this.#visits.shift();
    await Promise.all([visit.pay(), this.#tell()]);
  }

  #failVisits(error: unknown): void {
    for (const { fail } of this.#visits.splice(0)) fail(error);
  }

  #retire(): void {
    for (const request of this.#active) this.#pages.release(request, !request.interrupted);
    this.#active = this.#active.filter((request) => !request.settled);
    this.#queue = this.#queue.filter((request) => !request.settled);
  }

  /** False: nobody else can run now. True: others may, in the next turn. */
  #admit(): boolean {
    for (let admitted = 0; admitted < ADMITTED_TOGETHER; ) {
      const next = this.#queue.find((request) => !request.paused);
      if (!next) return false;
      const sequences = this.#active.reduce((sum, { live }) => sum + live.length, next.live.length);
      if (sequences <= this.#mostActive && this.#pages.place(next, this.#active, performance.now())) {
        this.#queue = this.#queue.filter((request) => request !== next);
        this.#active.push(next);
        ++admitted;
      } else if (!this.#suspendOne()) {
        return false;
      }
    }
    return true;
  }

  /** A request whose output nobody reads gives its pages to those who wait. */
  #suspendOne(): boolean {
    const idle = this.#active.find((request) => request.paused);
    if (!idle) return false;
    this.#pages.suspend(idle);
    this.#active = this.#active.filter((request) => request !== idle);
    this.#queue.push(idle);
    return true;
  }

  async #step(plan: StepPlan): Promise<void> {
    const started = performance.now();
    this.#inFlight = plan;
    let result: StepResult;
    try {
      [result] = await Promise.all([this.#native.step(plan.batch), this.#tell()]);
    } catch (error) {
      for (const { request } of plan.slices) {
        request.fail(fromNative(error));
        // Its sequence may have met what broke the step; it is not kept for others.
        this.#pages.release(request, false);
      }
      return;
    } finally {
      this.#inFlight = undefined;
    }
    const now = performance.now();
    if (result.cancelled) return;
    this.#pace.record(plan.promptTokens, now - started);
    this.#drafting.record(plan, now - started);
    for (const slice of plan.slices) appended(slice);
    this.#pages.keepCheckpoints(plan.slices, this.#active);
    let turnStarted = now;
    for (const slice of plan.slices) {
      this.#hand(slice, result, now);
      if (plan.slices.length === 1 || performance.now() - turnStarted < SAMPLING_SLICE_MS) continue;
      await nextTurn();
      turnStarted = performance.now();
    }
    // Somebody waits for the first token, and nobody beside him for a step: it is on its way before the next one takes all cores.
    if (plan.slices.length === 1 && plan.promptTokens > 0 && this.#silent.length > 0) {
      await this.#tell();
      await nextTurn();
    }
  }

  /** A request's rows of the result. */
  #hand({ request, branch, firstRow, rows }: Slice, result: StepResult, now: number): void {
    if (rows === 0 || request.settled) return;
    try {
      request.take(result, firstRow, rows, now, branch);
      if (!this.#silent.includes(request)) this.#silent.push(request);
    } catch (error) {
      request.fail(fromNative(error));
    }
  }

  /**
   * What the last step brought, to the callers: as soon as the next one runs, so that what they do with it costs it no
   * time; and of many only a few in a turn of the event loop, apart from what began the step.
   */
  async #tell(): Promise<void> {
    const silent = this.#silent;
    this.#silent = [];
    for (let i = 0; i < silent.length; ++i) {
      if (silent.length > TOLD_TOGETHER && i % TOLD_TOGETHER === 0) await nextTurn();
      silent[i].emit();
    }
  }
}

export function disposedError(): KvasirError {
  return new KvasirError('DISPOSED', 'The model was disposed: load it again to go on.');
}

/** `isLeast`: more may be needed. */
export function overflowError(
  needed: number,
  available: number,
  what: string,
  option: string,
  isLeast = false,
): KvasirError {
  return new KvasirError(
    'CONTEXT_OVERFLOW',
    `The request needs ${isLeast ? 'at least ' : ''}${needed} tokens, but ${what} holds ${available}. Shorten it or load with a larger ${option}.`,
    { details: { tokens: needed, limit: available } },
  );
}

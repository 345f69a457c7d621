/**
 * The models that are served. Those that a caller has loaded stay as they are; those that are named by a reference are
 * loaded at their first request, one at a time, and the one that was used longest ago gives way where the memory budget
 * is short.
 */
import { isKvasirError } from '../errors.js';
import { predictLoad } from '../load.js';
import { mebibytes } from '../memory.js';
import { Model } from '../model.js';
import type { LoadOptions } from '../options.js';
import type { Speculate } from '../speculation/options.js';
import { Failure } from './failure.js';
import { orAborted } from './or-aborted.js';

/** One model under the name by which requests ask for it. */
export interface ServedModel {
  /** Default: `model.info.name`, or the reference as it stands. */
  id?: string;
  /** A loaded model, which remains the caller's, or a reference as `Model.load` takes it. */
  model: Model | string;
  /** Other names for it. */
  aliases?: readonly string[];
  /** For a reference. */
  options?: Omit<LoadOptions, 'signal' | 'onProgress'>;
  /** As `generate` takes it, for all that this model generates. Default: that of the handler. */
  speculate?: Speculate;
}

/** A model that will not be unloaded before it is released. */
export interface Lease {
  readonly id: string;
  readonly model: Model;
  readonly speculate: Speculate | undefined;
  /** Idempotent. */
  release(): void;
}

interface Entry {
  readonly id: string;
  readonly aliases: readonly string[];
  readonly reference: string | undefined;
  readonly options: LoadOptions;
  readonly speculate: Speculate | undefined;
  model: Model | undefined;
  loading: Promise<Model> | undefined;
  users: number;
  lastUse: number;
}

export interface PoolOptions {
  /** Bytes that the models which the pool loads may take together. */
  memoryBudget: number;
  /** Told of loads and unloads. */
  onEvent(event: string, details: Readonly<Record<string, unknown>>): void;
}

export class ModelPool {
  readonly #entries: readonly Entry[];
  readonly #options: PoolOptions;
  readonly #closing = new AbortController();
  /** Loads go one after the other. */
  #lastLoad: Promise<unknown> = Promise.resolve();
  /** Called when a model is released. */
  #onRelease: (() => void)[] = [];
  #uses = 0;

  constructor(models: readonly ServedModel[], options: PoolOptions) {
    this.#options = options;
    this.#entries = models.map(({ id, model, aliases = [], options: loading = {}, speculate }) => ({
      id: id ?? (typeof model === 'string' ? model : model.info.name),
      aliases,
      reference: typeof model === 'string' ? model : undefined,
      options: loading,
      speculate,
      model: typeof model === 'string' ? undefined : model,
      loading: undefined,
      users: 0,
      lastUse: 0,
    }));
  }

  /** What is served, in the order that was given. `model` is there while it is loaded. */
  list(): { id: string; aliases: readonly string[]; model: Model | undefined }[] {
    return this.#entries.map(({ id, aliases, model }) => ({ id, aliases, model }));
  }

  /** The id of a model by its name; without a name the only one. Throws a Failure. */
  idOf(name: string | undefined): string {
    return this.#find(name).id;
  }

  #find(name: string | undefined): Entry {
    if (name === undefined && this.#entries.length === 1) return this.#entries[0];
    const known = this.#entries.map(({ id }) => id).join(', ');
    if (name === undefined) {
      throw new Failure('invalid', `Several models are served: name one of ${known}.`, { param: 'model' });
    }
    const found = this.#entries.find(({ id, aliases }) => id === name || aliases.includes(name));
    if (found !== undefined) return found;
    const shown = name.length > 100 ? `${name.slice(0, 100)}...` : name;
    throw new Failure('not-found', `The model '${shown}' is not served here. There are: ${known}.`, {
      param: 'model',
      code: 'model_not_found',
    });
  }

  /** Rejects with a Failure, or with the signal's reason; a load goes on for others who wait for it. */
  async lease(name: string | undefined, signal: AbortSignal): Promise<Lease> {
    const entry = this.#find(name);
    entry.users++;
    try {
      const model = entry.model ?? (await orAborted(this.#load(entry), signal));
      return this.#leaseOf(entry, model);
    } catch (error) {
      this.#release(entry);
      throw error;
    }
  }

  #leaseOf(entry: Entry, model: Model): Lease {
    entry.lastUse = ++this.#uses;
    let released = false;
    return {
      id: entry.id,
      model,
      speculate: entry.speculate,
      release: () => {
        if (released) return;
        released = true;
        this.#release(entry);
      },
    };
  }

  #release(entry: Entry): void {
    entry.users--;
    const told = this.#onRelease;
    this.#onRelease = [];
    for (const tell of told) tell();
  }

  #load(entry: Entry): Promise<Model> {
    if (entry.loading !== undefined) return entry.loading;
    const loading = this.#enqueue(entry).finally(() => {
      if (entry.loading === loading) entry.loading = undefined;
    });
    entry.loading = loading;
    // Whoever waits hears of it; after an abort nobody does.
    loading.catch(() => {});
    return loading;
  }

  /** A model that nobody waits for any more takes no room from others. Throws a Failure. */
  #checkWanted(entry: Entry): void {
    if (entry.users > 0) return;
    // Who comes from here on begins anew.
    entry.loading = undefined;
    throw new Failure('gone', 'Nobody waits for the model any more.');
  }

  #enqueue(entry: Entry): Promise<Model> {
    const load = this.#lastLoad.then(() => this.#loadNow(entry));
    this.#lastLoad = load.catch(() => {});
    return load;
  }

  async #loadNow(entry: Entry): Promise<Model> {
    const { id, reference = '', options } = entry;
    const { signal } = this.#closing;
    const started = performance.now();
    try {
      signal.throwIfAborted();
      this.#checkWanted(entry);
      await this.#makeRoom(await predictLoad(reference, { ...options, signal }), entry);
      const model = await this.#loadEvicting(reference, { ...options, signal });
      entry.model = model;
      const loadMs = Math.round(performance.now() - started);
      this.#options.onEvent('model-loaded', { model: id, loadMs, bytes: model.info.memory.actual });
      return model;
    } catch (error) {
      if (error instanceof Failure && error.kind === 'gone') throw error;
      const code = isKvasirError(error) ? error.code : 'INTERNAL';
      this.#options.onEvent('model-failed', { model: id, code, error: String(error) });
      if (error instanceof Failure) throw error;
      throw new Failure('unavailable', `The model '${id}' cannot be loaded (${code}).`, {
        code: 'model_load_failed',
        cause: error,
      });
    }
  }

  /** The machine itself may have less than the budget: idle models give way to what it misses. */
  async #loadEvicting(reference: string, options: LoadOptions): Promise<Model> {
    for (;;) {
      try {
        return await Model.load(reference, options);
      } catch (error) {
        const short = isKvasirError(error) && error.code === 'INSUFFICIENT_MEMORY';
        if (!short || !(await this.#unloadOne())) throw error;
      }
    }
  }

  /** Resolves when `bytes` fit into the budget. */
  async #makeRoom(bytes: number, entry: Entry): Promise<void> {
    const { memoryBudget } = this.#options;
    if (bytes > memoryBudget) {
      throw new Failure(
        'unavailable',
        `The model needs ${mebibytes(bytes)}, more than the server's budget of ${mebibytes(memoryBudget)}.`,
        { code: 'insufficient_memory' },
      );
    }
    while (this.#taken() + bytes > memoryBudget) {
      this.#checkWanted(entry);
      if (await this.#unloadOne()) continue;
      // All of them are in use: the next one that is released may go.
      const released = new Promise<void>((resolve) => this.#onRelease.push(resolve));
      await orAborted(released, this.#closing.signal);
    }
  }

  #taken(): number {
    const own = this.#entries.filter(({ reference }) => reference !== undefined);
    return own.reduce((sum, { model }) => sum + (model?.info.memory.actual ?? 0), 0);
  }

  /** Of those that nobody uses, the one that was used longest ago. False: there is none. */
  async #unloadOne(): Promise<boolean> {
    const idle = this.#entries.filter(
      ({ reference, model, users }) => reference !== undefined && model !== undefined && users === 0,
    );
    const [oldest] = idle.sort((a, b) => a.lastUse - b.lastUse);
    if (oldest === undefined) return false;
    await this.#unload(oldest);
    return true;
  }

  async #unload(entry: Entry): Promise<void> {
    const { model } = entry;
    // From here on a request loads it anew.
    entry.model = undefined;
    await model?.dispose();
    this.#options.onEvent('model-unloaded', { model: entry.id });
  }

  /** Loads them before the first request. @param names default: all. Rejects with the first Failure. */
  async preload(names: readonly string[] | undefined, signal: AbortSignal): Promise<void> {
    for (const name of names ?? this.#entries.map(({ id }) => id)) {
      (await this.lease(name, signal)).release();
    }
  }

  /** Disposes of what the pool has loaded; models of the caller stay. */
  async close(): Promise<void> {
    this.#closing.abort(new Failure('unavailable', 'The server shuts down.'));
    await this.#lastLoad;
    const own = this.#entries.filter(
      ({ reference, model }) => reference !== undefined && model !== undefined,
    );
    await Promise.all(own.map((entry) => this.#unload(entry)));
  }
}

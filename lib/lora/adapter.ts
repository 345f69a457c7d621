/** A LoRA adapter that is loaded beside a model. Only the types and the life of it: the loading is loader.ts's. */
import { KvasirError } from '../errors.js';
import { invalidOption, type Rule } from '../given.js';

export interface AdapterInfo {
  /** Name of its folder or file. */
  name: string;
  format: 'peft' | 'gguf';
  /** The largest of its modules. */
  rank: number;
  /** Modules that it changes, as its file names them. */
  modules: readonly string[];
  parameters: number;
  /** The model that it was made for, where the file says so. It is not compared: another name may be the same model. */
  baseModel: string | undefined;
  /** Bytes, computed before it was loaded, and as they lie in memory; what all adapters of a model share counts for the first. */
  memory: Readonly<{ predicted: number; actual: number }>;
}

/** The model that holds it. */
export interface AdapterHost {
  freeAdapter(id: number): Promise<void>;
}

/** Only the loader has it. */
export const loadedAdapter = Symbol('loaded adapter');

export class Adapter {
  readonly info: Readonly<AdapterInfo>;
  readonly #host: AdapterHost;
  readonly #id: number;
  #disposed: Promise<void> | undefined;

  /** Made by `model.loadAdapter`. */
  constructor(key: typeof loadedAdapter, host: AdapterHost, id: number, info: AdapterInfo) {
    if (key !== loadedAdapter)
      throw new KvasirError('INVALID_OPTION', 'An Adapter is made by model.loadAdapter.');
    this.#host = host;
    this.#id = id;
    this.info = Object.freeze(info);
  }

  /** Whether a value is one, and no proxy of one. */
  static is(value: unknown): value is Adapter {
    return typeof value === 'object' && value !== null && #host in value;
  }

  /** What native calls it. Throws INVALID_OPTION for an adapter of another model, DISPOSED. */
  static idOf(adapter: Adapter | undefined, host: AdapterHost): number | undefined {
    if (adapter === undefined) return undefined;
    if (adapter.#host !== host)
      throw invalidOption('adapter', adapter.info.name, 'an adapter that this model has loaded');
    if (adapter.#disposed) throw disposedAdapter();
    return adapter.#id;
  }

  /** Ends requests that go through it with DISPOSED and frees it. Idempotent; a later use of it is DISPOSED. */
  dispose(): Promise<void> {
    this.#disposed ??= this.#host.freeAdapter(this.#id);
    return this.#disposed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}

export const adapterRule: Rule = {
  fits: (value) => Adapter.is(value),
  allowed: 'an adapter that model.loadAdapter gave',
};

export function disposedAdapter(): KvasirError {
  return new KvasirError('DISPOSED', 'The adapter was disposed: load it again to go on.');
}

/** The adapters of one model: from a path to one that requests can name, and back. */
import { stat } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import type { Engine } from '../engine/engine.js';
import { isKvasirError, KvasirError } from '../errors.js';
import { fromNative, type NativeAdapters, type AdapterTensor } from '../native.js';
import { mebibytes, requireMemory } from '../memory.js';
import { Adapter, type AdapterHost, disposedAdapter, loadedAdapter } from './adapter.js';
import { type Base, bindAdapter } from './bind.js';
import { readGgufLora } from './gguf-lora.js';
import type { AdapterFile } from './low-rank.js';
import { readPeftFolder } from './peft.js';

/** What adapters need of a loaded model. */
export interface AdaptedModel {
  engine: Engine;
  native: NativeAdapters;
  base: Base;
  /** Bytes that all of these take when they are loaded, by their tensors. */
  predict(adapters: readonly (readonly AdapterTensor[])[]): number;
}

export class AdapterLoader implements AdapterHost {
  readonly #model: AdaptedModel;
  /** Shapes alone, of those that are loaded: what all of them take depends on them. */
  readonly #loaded = new Map<number, readonly AdapterTensor[]>();
  #last: Promise<unknown> = Promise.resolve();

  constructor(model: AdaptedModel) {
    this.#model = model;
  }

  /** One at a time, so that what each takes is known. */
  load(path: string): Promise<Adapter> {
    const next = this.#last.then(() => this.#load(path));
    this.#last = next.catch(() => {});
    return next;
  }

  async #load(path: string): Promise<Adapter> {
    const { engine, native, base, predict } = this.#model;
    engine.throwIfDisposed();
    const file = await readAdapter(path);
    const tensors = await bindAdapter(base, file);
    const shapes = tensors.map(({ name, rank }) => ({ name, rank, a: none, b: none, scale: 0 }));
    const before = [...this.#loaded.values()];
    const predicted = predict([...before, shapes]) - predict(before);
    requireMemory(
      predicted,
      `adapter ${mebibytes(predicted)}`,
      'Free memory, or dispose of another adapter.',
    );
    let actual = 0;
    const id = await engine.visit(0, async () => {
      const bytes = native.adapterBytes();
      const loaded = await native.loadAdapter(tensors);
      actual = native.adapterBytes() - bytes;
      return loaded;
    });
    this.#loaded.set(id, shapes);
    return new Adapter(loadedAdapter, this, id, {
      name: basename(resolve(path)),
      format: file.format,
      rank: Math.max(...file.modules.map(({ rank }) => rank)),
      modules: Object.freeze(file.modules.map(({ name }) => name)),
      parameters: file.modules.reduce((sum, { a, b }) => sum + a.length + b.length, 0),
      baseModel: file.baseModel,
      memory: Object.freeze({ predicted, actual }),
    });
  }

  async freeAdapter(id: number): Promise<void> {
    const { engine, native } = this.#model;
    try {
      await engine.endAdapter(id, disposedAdapter(), () => native.freeAdapter(id));
    } catch (error) {
      // With its model it is gone already.
      if (!isKvasirError(error) || error.code !== 'DISPOSED') throw fromNative(error);
    }
    this.#loaded.delete(id);
  }
}

const none = new Float32Array(0);

/** A folder of PEFT's, or a GGUF file. Throws MODEL_NOT_FOUND, MODEL_FORMAT, UNSUPPORTED_ARCHITECTURE. */
export async function readAdapter(path: string): Promise<AdapterFile> {
  const found = await stat(path).catch((cause: Error) => {
    throw new KvasirError('MODEL_NOT_FOUND', `Cannot read the adapter ${path}: ${cause.message}`, { cause });
  });
  if (found.isDirectory()) return readPeftFolder(path);
  if (path.toLowerCase().endsWith('.gguf')) return readGgufLora(path);
  throw new KvasirError(
    'MODEL_NOT_FOUND',
    `${path} is no adapter: give a folder with adapter_config.json and adapter_model.safetensors, or a .gguf file.`,
  );
}

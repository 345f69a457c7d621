/** The two native models that the layer analysis looks into. */
import { describeModel, type ModelDescription } from '../formats/index.js';
import { resolveModel } from '../hub/index.js';
import { keptLinears, linearNames } from '../keep-fp32.js';
import { availableMemory } from '../memory.js';
import { type Container, fromNative, type NativeLoadOptions, native } from '../native.js';
import { specToJson } from '../spec.js';
import type { InspectedModel } from './layer-linears.js';

export interface InspectedPair {
  /** Every linear FP32 and an FP32 cache, with room for INT8 ones that it borrows. */
  reference: InspectedModel;
  quantized: InspectedModel;
  description: ModelDescription;
}

export interface PairSettings {
  contextLength: number;
  threads: number;
  /** Of the INT8 model. */
  keepFp32?: readonly string[];
  signal: AbortSignal;
}

/**
 * Loads both, calls, disposes of both.
 * @returns undefined, and does nothing, where they do not fit in memory together.
 */
export async function withInspectedPair<T>(
  model: string,
  settings: PairSettings,
  use: (pair: InspectedPair) => Promise<T>,
): Promise<T | undefined> {
  const { signal } = settings;
  const files = await resolveModel(model, { signal, download: false });
  const loaded: InspectedModel[] = [];
  try {
    const container = await native().openContainer(files.weights);
    let description: ModelDescription;
    try {
      description = await describeModel(files, container);
      const both = optionsOf(description, settings);
      const { spec, tensors } = description;
      const required = both
        .map((options) => native().predictMemory(specToJson(spec), tensors, options))
        .reduce((sum, { weights, kv, scratch }) => sum + weights + kv + scratch, 0);
      if (required > availableMemory()) return undefined;
      for (const options of both) loaded.push(await load(container, description, options, signal));
    } finally {
      container.close();
    }
    return await use({ reference: loaded[0]!, quantized: loaded[1]!, description });
  } catch (error) {
    throw fromNative(error);
  } finally {
    for (const one of loaded) await one.dispose();
    await native().releaseMemory();
  }
}

function optionsOf(
  description: ModelDescription,
  { contextLength, threads, keepFp32 }: PairSettings,
): NativeLoadOptions[] {
  const shared = { dtype: 'int8', contextLength, kvCapacity: contextLength, threads } as const;
  return [
    { ...shared, kvDtype: 'fp32', keepFp32: linearNames(description) },
    { ...shared, kvDtype: 'int8', keepFp32: keptLinears({ keepFp32 }, description) },
  ];
}

async function load(
  container: Container,
  { spec, tensors }: ModelDescription,
  options: NativeLoadOptions,
  signal: AbortSignal,
): Promise<InspectedModel> {
  signal.throwIfAborted();
  const loading = native().loadModel(container, specToJson(spec), tensors, options);
  const cancel = () => loading.cancel();
  signal.addEventListener('abort', cancel, { once: true });
  try {
    return await loading.promise;
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    signal.removeEventListener('abort', cancel);
  }
}

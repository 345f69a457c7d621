/** What a model's files say, without loading a weight. */
import { describeModel, type ModelDescription } from '../formats/index.js';
import { type ModelFiles, resolveModel } from '../hub/index.js';
import { fromNative, native, type NativeLoadOptions, type TensorEntry } from '../native.js';
import { specToJson } from '../spec.js';
import { createProgress } from './progress.js';

export interface Inspection {
  files: ModelFiles;
  description: ModelDescription;
  tensors: readonly TensorEntry[];
  metadata: Readonly<Record<string, unknown>>;
}

/** Fetches the files first where they are not here. Throws what `Model.load` throws for them. */
export async function inspectModel(reference: string, signal: AbortSignal): Promise<Inspection> {
  const progress = createProgress();
  const files = await resolveModel(reference, {
    signal,
    onProgress: (state) => progress.report(state),
  }).finally(() => progress.stop());
  try {
    const container = await native().openContainer(files.weights);
    try {
      const description = await describeModel(files, container);
      return { files, description, tensors: container.tensors, metadata: container.metadata };
    } finally {
      container.close();
    }
  } catch (error) {
    throw fromNative(error);
  }
}

export interface MemoryPrediction {
  weights: number;
  kv: number;
  /** What of `kv` is there for checkpoints of prompts, and with states for all prefixes that are kept. */
  checkpoints: number;
  /** Windows whose layers hold them instead of whole contexts, in tokens. */
  windows: readonly number[];
  scratch: number;
  total: number;
}

/** Bytes. @param leftOut canonical tensors that do not count. */
export function predictMemory(
  { spec, tensors }: ModelDescription,
  options: NativeLoadOptions,
  leftOut: readonly string[] = [],
): MemoryPrediction {
  const counted = Object.fromEntries(Object.entries(tensors).filter(([name]) => !leftOut.includes(name)));
  try {
    const predicted = native().predictMemory(specToJson(spec), counted, options);
    const { weights, kv, scratch } = predicted;
    return { ...predicted, total: weights + kv + scratch };
  } catch (error) {
    throw fromNative(error);
  }
}

/** What the cache holds instead of whole contexts, and beside them; no line where it is nothing. */
export function cacheLines({ kv, checkpoints, windows }: MemoryPrediction): string[] {
  const lines: string[] = [];
  if (windows.length > 0) lines.push(`Layers with a window (${windows.join(', ')}) hold no more than it.`);
  if (checkpoints > 0) {
    const share = Math.round((100 * checkpoints) / kv);
    lines.push(`${share} % of the KV cache are for checkpoints of prompts.`);
  }
  return lines;
}

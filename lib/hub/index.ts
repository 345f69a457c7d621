/**
 * From a model reference (alias, folder, `.gguf`, `hf:org/name[:file]`) to files on this machine, fetching them into
 * the Hugging Face cache when they are missing. Knows nothing of what is in the files.
 */
import { KvasirError } from '../errors.js';
import type { ModelFiles, ModelOrigin, PullProgress } from './model-files.js';

export type { GgufFiles, HfFolderFiles, ModelFiles, ModelOrigin, PullProgress } from './model-files.js';

export interface ResolveOptions {
  signal?: AbortSignal;
  onProgress?: (progress: PullProgress) => void;
  /** Fetch what is missing. Default true; false answers from this machine alone (MODEL_NOT_FOUND when it cannot). */
  download?: boolean;
}

export interface PullResult {
  files: ModelFiles;
  origin: ModelOrigin;
  /** Bytes that came over the network in this call; 0 when everything was there. */
  downloadedBytes: number;
}

/** Work in progress: declared first so that others can build against it. */
export async function resolveModel(reference: string, options: ResolveOptions = {}): Promise<ModelFiles> {
  return (await pull(reference, options)).files;
}

export async function pull(reference: string, _options: ResolveOptions = {}): Promise<PullResult> {
  throw new KvasirError('MODEL_NOT_FOUND', `Cannot resolve ${reference}.`);
}

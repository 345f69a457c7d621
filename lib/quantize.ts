/** From a checkpoint to a folder with its INT8 form, which loads without quantizing. */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { classifierFile, writeClassifierFile } from './classify/classifier-file.js';
import { ggufEmbedDefaults, saysPooling } from './embed/gguf-pooling.js';
import { copySentenceFiles, writeSentenceFiles } from './embed/sentence-files.js';
import { KvasirError } from './errors.js';
import { int8Metadata } from './formats/int8-form.js';
import { writeInt8Configs } from './formats/int8-folder.js';
import { describeModel, type ModelDescription } from './formats/index.js';
import { type ModelFiles, resolveModel } from './hub/index.js';
import { mebibytes, requireMemory } from './memory.js';
import { type Container, fromNative, native, rethrow } from './native.js';
import type { LoadProgress } from './options.js';
import { freeFolder, writeWhole } from './out-folder.js';
import { specToJson } from './spec.js';
import { writeTokenizerFiles } from './tokenizer/write-files.js';

/** As messages name it. */
const form = 'The INT8 form';

/** 'quantize' is reading and writing the weights. */
export type QuantizeProgress = Omit<LoadProgress, 'phase'> & { phase: LoadProgress['phase'] | 'quantize' };

export interface QuantizeOptions {
  /** Default: one per core that the process may use. */
  threads?: number;
  onProgress?: (progress: QuantizeProgress) => void;
  /** Aborting rejects with the signal's reason and leaves nothing behind. */
  signal?: AbortSignal;
}

export interface QuantizeResult {
  /** Display name of the source. */
  model: string;
  /** Absolute. */
  folder: string;
  /** Absolute paths of what was written, and their sizes. */
  files: { path: string; bytes: number }[];
  /** Of the source. */
  sourceDtype: string;
  /** Bytes of the source's weight files. */
  sourceBytes: number;
}

/**
 * Writes a folder that `Model.load` takes: the same tokens, and the same logits bit for bit as `reference` with dtype
 * 'int8'. It appears whole or not at all.
 * @param reference as in `Model.load`, fetched first where it is not here.
 * @param out a folder that does not exist, or is empty.
 * @throws what `Model.load` throws for the source; INVALID_OPTION when `out` cannot be used or the source is an INT8 form.
 */
export async function quantizeModel(
  reference: string,
  out: string,
  options: QuantizeOptions = {},
): Promise<QuantizeResult> {
  const { signal, onProgress } = options;
  const folder = await freeFolder(out, form);
  const files = await resolveModel(reference, { signal, onProgress });
  signal?.throwIfAborted();
  const container = await native().openContainer(files.weights).catch(rethrow);
  try {
    const description = await describeModel(files, container).catch(rethrow);
    if (description.int8Origin) throw alreadyInt8(files);
    await writeWhole(folder, form, (partial) =>
      writeAll({ files, container, description }, partial, options),
    );
    return await resultOf(files, folder, description.storedDtype);
  } finally {
    container.close();
  }
}

function alreadyInt8({ displayName }: ModelFiles): KvasirError {
  return new KvasirError(
    'INVALID_OPTION',
    `${displayName} is in its INT8 form already: load it as it is, or copy its folder.`,
  );
}

interface Source {
  files: ModelFiles;
  container: Container;
  description: ModelDescription;
  /** SHA-256 of the file of its classifier, where it has one. */
  classifier: string | undefined;
}

async function writeAll(
  { files, container, description }: Omit<Source, 'classifier'>,
  folder: string,
  options: QuantizeOptions,
): Promise<void> {
  const plan = description.classifier;
  const { hiddenSize } = description.spec;
  await writeInt8Configs(description, folder);
  if (files.kind === 'hf-folder') await copySentenceFiles(files, folder);
  else if (saysPooling(container.metadata)) {
    await writeSentenceFiles(await ggufEmbedDefaults(container, hiddenSize), folder);
  }
  await writeTokenizerFiles(description.tokenizerSource, folder);
  const classifier =
    plan && (await writeClassifierFile({ plan, container, hiddenSize }, join(folder, classifierFile)));
  const source = { files, container, description, classifier };
  await writeWeights(source, join(folder, 'model.safetensors'), options);
}

async function writeWeights(
  { files, container, description, classifier }: Source,
  path: string,
  { threads = 0, onProgress, signal }: QuantizeOptions,
): Promise<void> {
  const { architecture, tensors, storedDtype } = description;
  const spec = specToJson(description.spec);
  const { displayName } = files;
  // Only weights are loaded: the context is that of no sequence.
  const load = { dtype: 'int8', kvDtype: 'int8', contextLength: 1, kvCapacity: 1, threads } as const;
  const { weights } = native().predictMemory(spec, tensors, load);
  requireMemory(weights, `INT8 weights ${mebibytes(weights)}`, 'Free memory, or use a machine with more.');
  let failure: { error: unknown } | undefined;
  const giveUp = (error: unknown): void => {
    failure ??= { error };
    running.cancel();
  };
  const report = (loaded: number, total: number): void => {
    try {
      onProgress?.({ phase: 'quantize', file: displayName, loaded, total });
    } catch (error) {
      giveUp(error);
    }
  };
  const metadata = int8Metadata(architecture, description.spec, {
    source: displayName,
    sourceDtype: storedDtype,
    classifier,
  });
  const running = native().quantizeModel(
    container,
    spec,
    tensors,
    { ...load, onProgress: report },
    path,
    metadata,
  );
  const onAbort = (): void => giveUp(signal?.reason);
  signal?.addEventListener('abort', onAbort, { once: true });
  if (signal?.aborted) onAbort();
  try {
    await running.promise;
  } catch (error) {
    throw failure ? failure.error : fromNative(error);
  } finally {
    signal?.removeEventListener('abort', onAbort);
  }
  if (failure) throw failure.error;
}

async function resultOf(files: ModelFiles, folder: string, sourceDtype: string): Promise<QuantizeResult> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const paths = entries
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name));
  const sized = async (path: string) => ({ path, bytes: (await stat(path)).size });
  const sources = await Promise.all(files.weights.map(sized));
  return {
    model: files.displayName,
    folder,
    files: await Promise.all(paths.sort().map(sized)),
    sourceDtype,
    sourceBytes: sources.reduce((sum, { bytes }) => sum + bytes, 0),
  };
}

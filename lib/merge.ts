/** From a checkpoint and a LoRA adapter to a folder of the checkpoint with the adapter in its weights. */
import { copyFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Change } from './lora/merged-rows.js';
import { bytesOfValue } from './lora/merged-rows.js';
import { bindAdapter } from './lora/bind.js';
import { readAdapter } from './lora/loader.js';
import { writeMerged } from './lora/write-merged.js';
import { copySentenceFiles } from './embed/sentence-files.js';
import { KvasirError } from './errors.js';
import { describeModel, type ModelDescription } from './formats/index.js';
import { readJsonObject } from './formats/json-file.js';
import { invalidOption } from './given.js';
import { type HfFolderFiles, type ModelFiles, resolveModel } from './hub/index.js';
import { type AdapterTensor, type Container, native, rethrow } from './native.js';
import type { LoadProgress } from './options.js';
import { freeFolder, writeWhole } from './out-folder.js';
import { specToJson } from './spec.js';
import { writeTokenizerFiles } from './tokenizer/write-files.js';

/** 'merge' is reading and writing the weights. */
export type MergeProgress = Omit<LoadProgress, 'phase'> & { phase: LoadProgress['phase'] | 'merge' };

export interface MergeOptions {
  /** 'source': each tensor stays in its dtype. 'fp32': all are float32, so that nothing is rounded. Default 'source'. */
  dtype?: 'source' | 'fp32';
  onProgress?: (progress: MergeProgress) => void;
  /** Aborting rejects with the signal's reason and leaves nothing behind. */
  signal?: AbortSignal;
}

export interface MergeResult {
  /** Display name of the base. */
  model: string;
  adapter: string;
  /** Absolute. */
  folder: string;
  /** Of model.safetensors. */
  bytes: number;
  /** Stored tensors that are others now. */
  changed: number;
}

/**
 * Writes a folder that `Model.load` takes, which computes what the model with its adapter does, but for the rounding to the
 * dtype. It appears whole or not at all.
 * @param reference as in `Model.load`: a folder of safetensors in F32, F16 or BF16.
 * @param adapter as in `model.loadAdapter`.
 * @param out a folder that does not exist, or is empty.
 * @throws what `Model.load` and `loadAdapter` throw; INVALID_OPTION when `out` cannot be used; UNSUPPORTED_ARCHITECTURE for
 * GGUF files, INT8 forms, other dtypes and a head that is the embedding.
 */
export async function mergeModel(
  reference: string,
  adapter: string,
  out: string,
  { dtype = 'source', onProgress, signal }: MergeOptions = {},
): Promise<MergeResult> {
  if (dtype !== 'source' && dtype !== 'fp32') throw invalidOption('dtype', dtype, "'source' or 'fp32'");
  const folder = await freeFolder(out, 'The merged model');
  const files = await resolveModel(reference, { signal, onProgress });
  if (files.kind !== 'hf-folder') throw cannotMerge(files, 'it is a GGUF file');
  const container = await native().openContainer(files.weights).catch(rethrow);
  try {
    const description = await describeModel(files, container).catch(rethrow);
    if (description.int8Origin) throw cannotMerge(files, 'it is in its INT8 form');
    const file = await readAdapter(adapter);
    const bound = await bindAdapter({ name: files.displayName, ...description }, file);
    const changes = changesOf(files, container, description, bound);
    let bytes = 0;
    await writeWhole(folder, 'The merged model', async (partial) => {
      await copyTexts(files, description, partial, dtype === 'fp32');
      bytes = await writeMerged(join(partial, 'model.safetensors'), {
        container,
        changes,
        asFloat32: dtype === 'fp32',
        onBytes: (loaded, total) => onProgress?.({ phase: 'merge', file: files.displayName, loaded, total }),
        signal,
      });
    });
    return { model: files.displayName, adapter, folder, bytes, changed: changes.size };
  } finally {
    container.close();
  }
}

function cannotMerge({ displayName }: ModelFiles, why: string): KvasirError {
  return new KvasirError(
    'UNSUPPORTED_ARCHITECTURE',
    `Nothing can be merged into ${displayName}: ${why}. Merge into the Hugging Face folder that it was made from, or load the adapter beside it.`,
  );
}

/** By stored tensor. Throws INVALID_OPTION for what native would not adapt, UNSUPPORTED_ARCHITECTURE. */
function changesOf(
  files: ModelFiles,
  container: Container,
  { spec, tensors }: ModelDescription,
  bound: readonly AdapterTensor[],
): Map<string, Change[]> {
  const load = { dtype: 'fp32', kvDtype: 'fp32', contextLength: 1, kvCapacity: 1, threads: 1 } as const;
  try {
    native().predictMemory(specToJson(spec), tensors, load, [bound]);
  } catch (error) {
    rethrow(error);
  }
  const dtypes = new Map(container.tensors.map(({ name, dtype }) => [name, dtype]));
  const changes = new Map<string, Change[]>();
  for (const tensor of bound) {
    const source = tensors[`${tensor.name}.weight`];
    if (source === undefined)
      throw cannotMerge(files, `its ${tensor.name} is its embedding, which would change too`);
    const dtype = dtypes.get(source.name)!;
    if (bytesOfValue[dtype] === undefined || source.scales || source.fp4)
      throw cannotMerge(files, `${source.name} is stored as ${dtype}${source.scales ? ' with scales' : ''}`);
    changes.set(source.name, [...(changes.get(source.name) ?? []), { tensor, source }]);
  }
  return changes;
}

/** What stands beside the weights. */
async function copyTexts(
  files: HfFolderFiles,
  description: ModelDescription,
  folder: string,
  asFloat32: boolean,
): Promise<void> {
  const config = await readJsonObject(files.config);
  if (asFloat32) for (const name of ['torch_dtype', 'dtype']) if (name in config) config[name] = 'float32';
  await writeFile(join(folder, 'config.json'), `${JSON.stringify(config, null, 2)}\n`);
  if (files.generationConfig) await copyFile(files.generationConfig, join(folder, 'generation_config.json'));
  await copySentenceFiles(files, folder);
  await writeTokenizerFiles(description.tokenizerSource, folder);
}

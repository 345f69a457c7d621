/** `Model.load`: from a reference to a native model and its tokenizer, or to one error with nothing left behind. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Classifier } from './classify/classifier.js';
import { withClassifierFile } from './classify/classifier-file.js';
import { chooseDevice, type DeviceChoice, deviceFor } from './device.js';
import type { EmbedDefaults } from './embed/embed-options.js';
import { ggufEmbedDefaults } from './embed/gguf-pooling.js';
import { readEmbedDefaults } from './embed/sentence-files.js';
import { KvasirError } from './errors.js';
import { describeModel, type ModelDescription, tokenizerSourceOf } from './formats/index.js';
import { type ModelFiles, resolveModel } from './hub/index.js';
import { describeLoaded, type ModelInfo } from './info.js';
import { keptLinears } from './keep-fp32.js';
import { mebibytes, requireMemory } from './memory.js';
import {
  type Container,
  fromNative,
  type AdapterTensor,
  type LoadedNative,
  type NativeLoadOptions,
  native,
  rethrow,
  type TensorMap,
} from './native.js';
import { contextLengthOf, DEFAULT_CONTEXT_LENGTH, invalidOption, type LoadOptions } from './options.js';
import { layerCount, type ModelSpec, specToJson } from './spec.js';
import { Tokenizer } from './tokenizer/tokenizer.js';
import { checkVocabularySize } from './tokenizer/vocabulary-size.js';

export interface LoadedModel {
  info: ModelInfo;
  native: LoadedNative;
  /** Bytes that adapters take when all of these are loaded at once. */
  predictAdapters(adapters: readonly (readonly AdapterTensor[])[]): number;
  tokenizer: Tokenizer;
  description: ModelDescription;
  embedDefaults: EmbedDefaults;
  classifier?: Classifier;
}

/** Throws what `Model.load` throws. `options` are validated already. */
export async function loadModel(reference: string, options: LoadOptions): Promise<LoadedModel> {
  const { signal, onProgress } = options;
  signal?.throwIfAborted();
  // Each part runs for milliseconds the first time it is called: the event loop gets a turn between them.
  await nextTurn();
  const addon = native();
  await nextTurn();
  const chosen = await chooseDevice(options);
  signal?.throwIfAborted();
  await nextTurn();
  const files = await resolveModel(reference, { signal, onProgress });
  await nextTurn();
  signal?.throwIfAborted();
  const tokenizing = new Tokenizing(files);
  let container: Container | undefined;
  try {
    await nextTurn();
    container = await addon.openContainer(files.weights).catch(rethrow);
    await nextTurn();
    const description = await describeModel(files, container).catch(rethrow);
    await nextTurn();
    const embedDefaults =
      files.kind === 'gguf'
        ? await ggufEmbedDefaults(container, description.spec.hiddenSize)
        : await readEmbedDefaults(files);
    const classifier = await readClassifier(description, container, files.root);
    signal?.throwIfAborted();
    const device = deviceFor(chosen, options, description.spec);
    const effective = {
      ...effectiveOptions(options, description),
      ...layersOn(device, options, description.spec),
      keepFp32: keptLinears(options, description),
    };
    await nextTurn();
    const predicted = await checkMemory(description, effective);
    const loaded = await loadBoth({ files, container, description, effective, tokenizing }, options);
    await nextTurn();
    const { info } = loaded.native;
    if (device.index >= 0 && info.device === 'cpu' && (options.device ?? 'auto') !== 'auto') {
      await loaded.native.dispose();
      throw fullDevice(device);
    }
    const ran = describeDevice(device, info.device);
    const described = describeLoaded(files.displayName, description, effective, info, predicted, ran);
    await nextTurn();
    const predictAdapters: LoadedModel['predictAdapters'] = (adapters) =>
      predictMemory(description.spec, description.tensors, effective, adapters).adapters;
    return { ...loaded, info: described, predictAdapters, description, embedDefaults, classifier };
  } catch (error) {
    await tokenizing.giveUp(error);
    throw error;
  } finally {
    container?.close();
  }
}

/** Of a model for classification: from its own file, or of an INT8 form from the one beside it. */
async function readClassifier(
  { classifier: plan, spec, int8Origin }: ModelDescription,
  container: Container,
  root: string,
): Promise<Classifier | undefined> {
  if (plan === undefined) return undefined;
  const read = (from: Container) => Classifier.read(plan, from, spec.hiddenSize);
  const hash = int8Origin?.classifier;
  return hash === undefined ? read(container) : withClassifierFile({ root, hash }, read);
}

/** The tokenizer on its way. It takes longest where there are many cores, and needs no weights: it starts first. */
class Tokenizing {
  readonly #stop = new AbortController();
  readonly promise: Promise<Tokenizer>;

  constructor(files: ModelFiles) {
    this.promise = this.#load(files);
    // A fault in the files is told before one in the vocabulary: who loads both waits for this one last.
    this.promise.catch(() => {});
  }

  async #load(files: ModelFiles): Promise<Tokenizer> {
    return Tokenizer.load(tokenizerSourceOf(files), { signal: this.#stop.signal });
  }

  /** Stops it, or frees it. */
  async giveUp(error: unknown): Promise<void> {
    this.#stop.abort(error);
    await this.promise.then(
      (tokenizer) => tokenizer.dispose(),
      () => {},
    );
  }
}

/** Throws INVALID_OPTION for more layers than the model has. */
function layersOn(
  { index }: DeviceChoice,
  { gpuLayers = 'auto' }: LoadOptions,
  spec: ModelSpec,
): Pick<Effective, 'device' | 'gpuLayers'> {
  const nLayers = layerCount(spec);
  if (gpuLayers !== 'auto' && gpuLayers > nLayers) {
    throw invalidOption('gpuLayers', gpuLayers, `'auto' or an integer from 0 to ${nLayers} for this model`);
  }
  return { device: index, gpuLayers: gpuLayers === 'auto' ? -1 : gpuLayers };
}

/** Of a GPU that was asked for by name. */
function fullDevice({ device, name }: DeviceChoice): KvasirError {
  return new KvasirError(
    'INSUFFICIENT_MEMORY',
    `The free memory of ${device} (${name}) holds none of the model's layers. Free some, use dtype 'int8' or a smaller contextLength, or device 'cpu'.`,
    { details: { device } },
  );
}

/** What ran, where no layer may have fitted onto the chosen GPU. */
function describeDevice(chosen: DeviceChoice, ran: ModelInfo['device']) {
  if (ran !== 'cpu') return { deviceName: chosen.name ?? ran, deviceReason: chosen.reason };
  const full = `the free memory of ${chosen.device} (${chosen.name}) holds none of the layers`;
  return { deviceName: native().cpu().brand, deviceReason: chosen.index < 0 ? chosen.reason : full };
}

type Effective = Omit<NativeLoadOptions, 'onProgress'>;

function effectiveOptions(options: LoadOptions, { spec, int8Origin }: ModelDescription): Effective {
  if (int8Origin !== undefined && options.dtype === 'fp32') {
    throw invalidOption(
      'dtype',
      'fp32',
      `'int8' or 'auto': this is the INT8 form of ${int8Origin.source}, which has no other weights. For FP32 load ${int8Origin.source} itself`,
    );
  }
  const contextLength = contextLengthOf(options, spec.maxPositions);
  const kvCapacity =
    options.kvCapacity ?? Math.max(contextLength, Math.min(4 * contextLength, DEFAULT_CONTEXT_LENGTH));
  if (kvCapacity < contextLength) {
    throw invalidOption('kvCapacity', kvCapacity, `at least the context length, ${contextLength}`);
  }
  const dtype = options.dtype === 'fp32' ? 'fp32' : 'int8';
  const kvDtype = options.kvDtype === undefined || options.kvDtype === 'auto' ? dtype : options.kvDtype;
  const threads = options.threads ?? threadsFromEnvironment();
  const states = { stateSlots: options.stateSlots ?? 0, keptStates: options.keptStates ?? -1 };
  return { dtype, kvDtype, contextLength, kvCapacity, ...states, threads };
}

/** 0: native decides. */
function threadsFromEnvironment(): number {
  const given = process.env.KVASIR_THREADS;
  if (given === undefined || given === '') return 0;
  const threads = Number(given);
  if (Number.isInteger(threads) && threads >= 1 && threads <= 1024) return threads;
  throw invalidOption('KVASIR_THREADS (environment)', given, 'an integer from 1 to 1024');
}

/**
 * Bytes that the load will take, of the headers of its files alone; files that are not on this machine are fetched first.
 * Rejects as `loadModel` does. `options` are validated already.
 */
export async function predictLoad(reference: string, options: LoadOptions): Promise<number> {
  const chosen = await chooseDevice(options);
  const files = await resolveModel(reference, options);
  const container = await native().openContainer(files.weights).catch(rethrow);
  try {
    const description = await describeModel(files, container).catch(rethrow);
    const device = deviceFor(chosen, options, description.spec);
    const effective = {
      ...effectiveOptions(options, description),
      ...layersOn(device, options, description.spec),
      keepFp32: keptLinears(options, description),
    };
    const { weights, kv, scratch } = predictMemory(description.spec, description.tensors, effective);
    return weights + kv + scratch;
  } finally {
    container.close();
  }
}

/** Bytes that the load will take, wherever they lie. Rejects with INSUFFICIENT_MEMORY when they are not there. */
async function checkMemory({ spec, tensors }: ModelDescription, options: Effective): Promise<number> {
  const { weights, kv, scratch } = predictMemory(spec, tensors, options);
  await nextTurn();
  // Weights pass through the host's memory on their way to a GPU; the cache of its layers does not.
  const hosted = kv * hostShare(spec, options);
  const parts = `weights ${mebibytes(weights)}, KV cache ${mebibytes(hosted)}`;
  const remedy = "Use dtype 'int8' or a smaller contextLength, or free memory.";
  requireMemory(weights + hosted + scratch, parts, remedy);
  return weights + kv + scratch;
}

/** The share of the layers that is known to stay on the CPU. */
function hostShare(spec: ModelSpec, { device = -1, gpuLayers = -1 }: Effective): number {
  const nLayers = layerCount(spec);
  if (device < 0) return 1;
  return gpuLayers < 0 ? 0 : (nLayers - gpuLayers) / nLayers;
}

function predictMemory(
  spec: ModelSpec,
  tensors: TensorMap,
  options: Effective,
  adapters: readonly (readonly AdapterTensor[])[] = [],
) {
  try {
    return native().predictMemory(specToJson(spec), tensors, options, adapters);
  } catch (error) {
    return rethrow(error);
  }
}

interface Parts {
  files: ModelFiles;
  container: Container;
  description: ModelDescription;
  effective: Effective;
  tokenizing: Tokenizing;
}

/** Weights and tokenizer at the same time. When one fails, the weights are stopped and freed; the caller does the rest. */
async function loadBoth(
  { files, container, description, effective, tokenizing }: Parts,
  { signal, onProgress }: LoadOptions,
): Promise<Pick<LoadedModel, 'native' | 'tokenizer'>> {
  const { spec, tensors } = description;
  let failure: { error: unknown } | undefined;
  const giveUp = (error: unknown) => {
    failure ??= { error };
    load.cancel();
    void tokenizing.giveUp(error);
  };
  const report = (loaded: number, total: number) => {
    try {
      onProgress?.({ phase: 'load', file: files.displayName, loaded, total });
    } catch (error) {
      giveUp(error);
    }
  };
  await nextTurn();
  const load = native().loadModel(container, specToJson(spec), tensors, { ...effective, onProgress: report });
  load.promise.catch((error) => giveUp(fromNative(error)));
  const fitting = tokenizing.promise.then((tokenizer) => {
    checkVocabularySize(tokenizer.vocabSize, spec.vocabSize);
    return tokenizer;
  });
  fitting.catch(giveUp);
  const onAbort = () => giveUp(signal?.reason);
  signal?.addEventListener('abort', onAbort, { once: true });
  const [model, tokenizer] = await Promise.allSettled([load.promise, fitting]);
  signal?.removeEventListener('abort', onAbort);
  if (!failure && model.status === 'fulfilled' && tokenizer.status === 'fulfilled') {
    return { native: model.value, tokenizer: tokenizer.value };
  }
  if (model.status === 'fulfilled') await model.value.dispose();
  throw failure?.error;
}

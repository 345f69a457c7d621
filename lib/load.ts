/** `Model.load`: from a reference to a native model and its tokenizer, or to one error with nothing left behind. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { KvasirError } from './errors.js';
import { describeModel, type ModelDescription } from './formats/index.js';
import { type ModelFiles, resolveModel } from './hub/index.js';
import { describeLoaded, type ModelInfo } from './info.js';
import { keptLinears } from './keep-fp32.js';
import { mebibytes, requireMemory } from './memory.js';
import {
  type Container,
  fromNative,
  type ModelSpec,
  type NativeLoadOptions,
  type NativeModel,
  native,
  type TensorMap,
} from './native.js';
import { contextLengthOf, DEFAULT_CONTEXT_LENGTH, invalidOption, type LoadOptions } from './options.js';
import { Tokenizer } from './tokenizer/tokenizer.js';

export interface LoadedModel {
  info: ModelInfo;
  native: NativeModel;
  tokenizer: Tokenizer;
  description: ModelDescription;
}

/** Throws what `Model.load` throws. `options` are validated already. */
export async function loadModel(reference: string, options: LoadOptions): Promise<LoadedModel> {
  const { signal, onProgress } = options;
  signal?.throwIfAborted();
  const deviceReason = chooseDevice(options.device ?? 'auto');
  const addon = native();
  // Each part runs for milliseconds the first time it is called: the event loop gets a turn between them.
  await nextTurn();
  const files = await resolveModel(reference, { signal, onProgress });
  signal?.throwIfAborted();
  const container = await addon.openContainer(files.weights).catch(rethrow);
  try {
    await nextTurn();
    const description = await describeModel(files, container).catch(rethrow);
    signal?.throwIfAborted();
    const effective = {
      ...effectiveOptions(options, description),
      keepFp32: keptLinears(options, description),
    };
    await nextTurn();
    const predicted = checkMemory(description, effective);
    const loaded = await loadBoth(files, container, description, effective, options);
    const info = describeLoaded(
      files.displayName,
      description,
      effective,
      loaded.native.info,
      predicted,
      deviceReason,
    );
    return { ...loaded, info, description };
  } finally {
    container.close();
  }
}

/** Errors of native code as ours. What a caller throws (an abort's reason, a callback's error) goes through as it is. */
function rethrow(error: unknown): never {
  throw fromNative(error);
}

/** Why the model runs on the CPU. Throws DEVICE_UNAVAILABLE when a GPU was asked for. */
function chooseDevice(device: NonNullable<LoadOptions['device']>): string {
  const reason = 'this build has no CUDA backend';
  if (device === 'cpu') return "device 'cpu' was asked for";
  if (device === 'auto') return reason;
  throw new KvasirError(
    'DEVICE_UNAVAILABLE',
    `Device '${device}' cannot be used: ${reason}. Use device 'cpu' or 'auto'.`,
    { details: { device } },
  );
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
  const kvDtype = options.kvDtype === 'int8' || options.kvDtype === 'fp32' ? options.kvDtype : dtype;
  return { dtype, kvDtype, contextLength, kvCapacity, threads: options.threads ?? threadsFromEnvironment() };
}

/** 0: native decides. */
function threadsFromEnvironment(): number {
  const given = process.env.KVASIR_THREADS;
  if (given === undefined || given === '') return 0;
  const threads = Number(given);
  if (Number.isInteger(threads) && threads >= 1 && threads <= 1024) return threads;
  throw invalidOption('KVASIR_THREADS (environment)', given, 'an integer from 1 to 1024');
}

/** Bytes that the load will take. Throws INSUFFICIENT_MEMORY when they are not there. */
function checkMemory({ spec, tensors }: ModelDescription, options: Effective): number {
  const { weights, kv, scratch } = predictMemory(spec, tensors, options);
  const required = weights + kv + scratch;
  const parts = `weights ${mebibytes(weights)}, KV cache ${mebibytes(kv)}`;
  requireMemory(required, parts, "Use dtype 'int8' or a smaller contextLength, or free memory.");
  return required;
}

function predictMemory(spec: ModelSpec, tensors: TensorMap, options: Effective) {
  try {
    return native().predictMemory(spec, tensors, options);
  } catch (error) {
    return rethrow(error);
  }
}

/** Weights and tokenizer at the same time; when one fails, the other is stopped and freed. */
async function loadBoth(
  files: ModelFiles,
  container: Container,
  { spec, tensors, tokenizerSource }: ModelDescription,
  effective: Effective,
  { signal, onProgress }: LoadOptions,
): Promise<{ native: NativeModel; tokenizer: Tokenizer }> {
  const stop = new AbortController();
  let failure: { error: unknown } | undefined;
  const giveUp = (error: unknown) => {
    failure ??= { error };
    load.cancel();
    stop.abort(error);
  };
  const report = (loaded: number, total: number) => {
    try {
      onProgress?.({ phase: 'load', file: files.displayName, loaded, total });
    } catch (error) {
      giveUp(error);
    }
  };
  await nextTurn();
  const load = native().loadModel(container, spec, tensors, { ...effective, onProgress: report });
  load.promise.catch((error) => giveUp(fromNative(error)));
  await nextTurn();
  const tokenizing = Tokenizer.load(tokenizerSource, { signal: stop.signal });
  tokenizing.catch(giveUp);
  const onAbort = () => giveUp(signal?.reason);
  signal?.addEventListener('abort', onAbort, { once: true });
  const [model, tokenizer] = await Promise.allSettled([load.promise, tokenizing]);
  signal?.removeEventListener('abort', onAbort);
  if (!failure && model.status === 'fulfilled' && tokenizer.status === 'fulfilled') {
    return { native: model.value, tokenizer: tokenizer.value };
  }
  if (model.status === 'fulfilled') await model.value.dispose();
  if (tokenizer.status === 'fulfilled') await tokenizer.value.dispose();
  throw failure?.error;
}

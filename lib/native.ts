/**
 * The only file that loads the native addon, and the types of everything that crosses that border.
 * It knows no architecture, no tokenizer and no sampling.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { types } from 'node:util';
import { addonFolders, buildFolder, explainMissing } from './addon/folders.js';
import { KvasirError, type KvasirErrorCode } from './errors.js';
import { createRequire } from './node-require.js';
import type { AdapterTensor, NativeAdapters, NativeSessions } from './native-adapters.js';
import type { TokenTrie } from './native-grammar.js';
import type {
  CheckpointInfo,
  CpuReport,
  CudaReport,
  KvTable,
  LayersSeen,
  NativeMemoryPrediction,
} from './native-reports.js';
import type { ModelTensor, TensorEntry, TensorMap } from './native-tensors.js';
import type { NativeVectors } from './native-vectors.js';
import { packageFile, packageRoot } from './package-root.js';

export type { AdapterTensor, NativeAdapters, NativeSessions } from './native-adapters.js';
export { packageRoot } from './package-root.js';
export type { GrammarTable, NativeGrammar, NativeMatcher, TokenTrie } from './native-grammar.js';
export type {
  CpuReport,
  CudaDeviceInfo,
  CudaReport,
  KvTable,
  LayersSeen,
  OpTime,
} from './native-reports.js';
export type {
  ModelTensor,
  TensorDtype,
  TensorEntry,
  TensorMap,
  TensorScales,
  TensorSource,
} from './native-tensors.js';
export type { NativeHits, NativeVectors } from './native-vectors.js';

/** How keys and values lie in the cache: INT8 with a scale a head and token, or floats of 16 or 32 bits. */
export type KvDtype = 'int8' | 'fp16' | 'fp32';

export type MetadataScalar = string | number | boolean;
/** An array of more than 1,024 elements is left out of `metadata`: read it with `metadataArray`. */
export interface LongArray {
  longArray: true;
  type: 'string' | 'number' | 'boolean';
  length: number;
}
export type MetadataValue = MetadataScalar | MetadataScalar[] | LongArray;

/** A list of strings: string i is the UTF-8 bytes[offsets[i], offsets[i + 1]), as the file has it. */
export interface PackedStrings {
  bytes: Uint8Array;
  /** uint32 [strings + 1]. */
  offsets: Uint32Array;
}

/** An open safetensors set (one file or several shards) or a GGUF file. Holds file descriptors until `close`. */
export interface Container {
  readonly format: 'safetensors' | 'gguf';
  /** GGUF key/values, or the `__metadata__` strings of safetensors. */
  readonly metadata: Record<string, MetadataValue>;
  readonly tensors: TensorEntry[];
  /** A whole array of the metadata, at any length. */
  metadataArray(key: string): PackedStrings | Float64Array | boolean[];
  /** The values of a small tensor as float32, row-major: at most 1 MiB of them, because this blocks. */
  readTensor(name: string): Float32Array;
  /** Rows of a tensor seen as [rows, columns of its last dimension], as float32. Off the JS thread. */
  readRows(name: string, first: number, count: number): Promise<Float32Array>;
  /** Bytes of a tensor as they are stored. Off the JS thread. */
  readBytes(name: string, begin: number, size: number): Promise<Uint8Array>;
  /** Whether two tensors are the same in dtype, shape and every stored byte. Off the JS thread, up to the first difference. */
  areCopies(a: string, b: string): Promise<boolean>;
  /** Idempotent. A model that is still loading keeps its own reference. */
  close(): void;
}

/*
 * Of the INT8 form (`quantizeModel`) the canonical names are those in its file: embed.tokens.blocks, layers.N.qkv.blocks,
 * layers.N.o.blocks, layers.N.gate_up.blocks, layers.N.down.blocks, lm_head.blocks (of a linear that is never INT8
 * `.panels`), each linear with `.bias` where one of its parts has one, and norms and positions as above. It loads as 'int8'
 * only.
 */

export interface NativeLoadOptions {
  dtype: 'int8' | 'fp32';
  kvDtype: KvDtype;
  /** Longest sequence, in tokens. */
  contextLength: number;
  /** Positions the paged cache may hold over all sequences. */
  kvCapacity: number;
  /** States of sequences that a model with state layers may hold; default 0: as many as 256 MiB hold, from 16 to 128. */
  stateSlots?: number;
  /** More of them, for prefixes that are kept, from 0; default -1: as many as 128 MiB hold, from 8 to 64. */
  keptStates?: number;
  /** 0: one per core that the process may use (affinity and cgroup). */
  threads: number;
  /** CUDA's index of the GPU that runs layers; default -1: none does. */
  device?: number;
  /** How many layers it runs, the last ones; default -1: as many as its free memory takes. */
  gpuLayers?: number;
  /** Linears that stay float32 in an INT8 model: names as `NativeModelInfo.linears` has them. Default none. */
  keepFp32?: readonly string[];
  /** Called on the JS thread at most every 50 ms, and once at the end. */
  onProgress?: (loaded: number, total: number) => void;
}

export interface LinearInfo {
  dtype: 'int8' | 'fp32';
  outputs: number;
  inputs: number;
}

export interface NativeModelInfo {
  /** 'cpu', or 'cuda:N' when it runs at least one layer. */
  device: 'cpu' | `cuda:${number}`;
  /** How many layers, the last ones. */
  gpuLayers: number;
  /** The kernels that run: 'scalar' | 'avx2' | 'avxvnni' | 'avx512' | 'avx512vnni' | 'amx' | ...; 'avx2 + ...' where layers are split. */
  kernels: string;
  threads: number;
  parameters: number;
  /** Bytes, packed as they lie in memory. */
  weightBytes: number;
  /** Part of weightBytes that are quantization scales. */
  scaleBytes: number;
  /** Of the cache's pages, all layers. */
  kvBytes: number;
  /** Of a token in all layers; those with a window hold it no longer than a row sees it. */
  kvBytesPerToken: number;
  kvCapacity: number;
  /** Positions of one page of the cache: sequences take and share whole pages. kvCapacity is a multiple of it. */
  kvPageSize: number;
  /** States of sequences in memory: a running one takes two of them. 0: no layer has a state. */
  stateSlots: number;
  /** Beside those, of sequences that are kept when their requests are over, and of checkpoints. */
  keptStates: number;
  /** Bytes of one. */
  stateBytes: number;
  kvTables: readonly KvTable[];
  checkpoints: CheckpointInfo;
  /** Most tokens of a step: 512, up to 2,048 with many threads, less with a smaller kvCapacity. */
  stepTokens: number;
  /** All that is in native memory beside weights and cache. */
  scratchBytes: number;
  /** Every linear and how it lies in memory: embed.tokens, layers.N.qkv|o|gate_up|down and more, lm_head unless it is tied. */
  linears: Readonly<Record<string, LinearInfo>>;
}

/** Bits of `StepBatch.wants`. */
export const WANTS_LOGITS = 1;
export const WANTS_HIDDEN = 2;

/** In `StepBatch.adapters`: the sequence goes through none. */
export const NO_ADAPTER = -1;

/** One step: for each sequence the next `counts[i]` tokens are appended; rows name the positions of which something is wanted. */
export interface StepBatch {
  /** [n] ids from createSequence. */
  sequences: Int32Array;
  /** [n] tokens of each sequence in this step, at least 1. */
  counts: Int32Array;
  /** [sum(counts)] token ids, sequence after sequence. */
  tokens: Int32Array;
  /** [sum(counts)] the type of each token, of a model that has them. Absent: the first. */
  types?: Int32Array;
  /** [n] what `loadAdapter` gave, or NO_ADAPTER. Absent: none has one. */
  adapters?: Int32Array;
  /** [r] ascending indices into `tokens` of the tokens of which something is wanted. */
  rows: Int32Array;
  /** [r] WANTS_LOGITS, WANTS_HIDDEN or both; without logits there is no output layer to compute. Absent: logits. */
  wants?: Uint8Array;
  /** [r] temperature of the log-sum-exp; 0 counts as 1. */
  temperatures: Float32Array;
  /** [r] 1: the whole row of logits is returned too. */
  fullLogits: Uint8Array;
  /** [r] token whose logit is returned (scoring), or -1. */
  targets: Int32Array;
}

/** Its arrays but those of `fullLogits` are written again by the model's next step: read them before it is submitted. */
export interface StepResult {
  /** true: every sequence was cancelled and the step stopped between layers; nothing was appended. */
  cancelled: boolean;
  /** [r * candidates] largest logits first; candidates = min(256, vocabSize), 0 where no logits are wanted. Ties: the lower id first. */
  candidateIds: Int32Array;
  candidateLogits: Float32Array;
  candidates: number;
  /** [r] log(sum(exp(logit / temperature))). */
  logSumExp: Float64Array;
  /** [r] log(sum(exp(logit))), for log-probabilities whatever the temperature. */
  logSumExp1: Float64Array;
  /** [r] logit of targets[r], or NaN. */
  targetLogits: Float32Array;
  /** [r] */
  fullLogits: (Float32Array | null)[];
  /** [r] hidden states after the final norm, [hidden], where they are wanted; may be absent where none is. */
  hidden?: (Float32Array | null)[];
}

/** Sequence operations are for between steps: during a step they throw INTERNAL. */
export interface NativeModel {
  readonly info: NativeModelInfo;
  createSequence(): number;
  /**
   * A new sequence with the first `length` positions of another, at least `shortestPrefix` of it. It takes no page: all
   * are shared, and a partial one is copied at the first write of either. With states `length` is 0 or the whole.
   */
  forkSequence(sequence: number, length: number): number;
  /** To a length as `forkSequence` takes it, or to 0. */
  truncateSequence(sequence: number, length: number): void;
  freeSequence(sequence: number): void;
  sequenceLength(sequence: number): number;
  /**
   * The least length, other than 0, at which the sequence can be forked or cut: 0 where all positions are held. Grows with
   * the steps of sequences that have layers with a window, once the window is passed. With states it is the whole length.
   */
  shortestPrefix(sequence: number): number;
  /** [kvTables] pages that no sequence holds. */
  freePages(): number[];
  /** [kvTables] pages that these sequences hold and no other one. */
  ownPages(sequences: Int32Array): number[];
  /** One at a time. Rejects with the native error; nothing was appended then. */
  step(batch: StepBatch): Promise<StepResult>;
  /** May be called during a step: when all its sequences are cancelled it stops between layers. */
  cancelSequence(sequence: number): void;
  /** Idempotent; waits for the running step, joins the threads, frees all memory. */
  dispose(): Promise<void>;
}

export interface LayerRun {
  /** One window, at most 512; their embedding is the input, unless `input` is given. */
  tokens: Int32Array;
  /** [tokens, hiddenSize] the residual stream before layer `first`. */
  input?: Float32Array;
  /** Layers [first, end) run. */
  first: number;
  end: number;
  /** Ascending indices into `tokens` whose logits are wanted, as if `end` were the last layer. */
  rows: Int32Array;
  /** Last parts of the names of intermediate tensors that are wanted, such as 'attn_norm'; see native/model/transformer.cc. */
  taps: readonly string[];
  /** `times` are wanted. */
  timed?: boolean;
  /** Goes on behind this sequence; with `commit` the tokens are then part of it. Default: a fresh one. */
  sequence?: number;
  commit?: boolean;
  /** Heads of every layer that runs whose outputs are replaced, by `attended` [tokens, heads, headDim]. */
  heads?: Int32Array;
  attended?: Float32Array;
}

/** Looking into a model between its steps, for `compare`. Each rejects with INTERNAL while a step or another one runs. */
export interface NativeInspection {
  runLayers(run: LayerRun): Promise<LayersSeen>;
  /** [rows, outputs] of x [rows, inputs], quantized first where the linear is INT8. */
  applyLinear(name: string, x: Float32Array): Promise<Float32Array>;
  /** [rows, inputs of its down] of x [rows, inputs]: what activation makes of a layer's gate_up (of an expert, a shared one). */
  applyGateUp(name: string, x: Float32Array): Promise<Float32Array>;
  /** [count, columns] of a linear or a vector as it lies in memory, dequantized. */
  weightRows(name: string, first: number, count: number): Promise<Float32Array>;
  /**
   * Uses these linears of another model of the same shape in place of its own, until the next call; what it lends stays
   * in memory until then, or until this model is disposed of.
   */
  borrow(lender: NativeModel, names: readonly string[]): void;
}

export type LoadedNative = NativeModel & NativeInspection & NativeAdapters & NativeSessions;

/** A `ModelSpec` as `specToJson` writes it. */
export type SpecJson = string;

export interface NativeAddon {
  /** Every tensor of a model, in the order of the graph. Throws MODEL_FORMAT for a spec that cannot be. */
  tensorsOf(spec: SpecJson): ModelTensor[];
  /** Throws MODEL_FORMAT naming a tensor that a checkpoint with these entries lacks or has in another shape. */
  checkTensors(entries: readonly TensorEntry[], spec: SpecJson, tensors: TensorMap): void;
  /** Parses headers only, off the JS thread. Rejects with MODEL_FORMAT or MODEL_NOT_FOUND. */
  openContainer(paths: string[]): Promise<Container>;
  loadModel(
    container: Container,
    spec: SpecJson,
    tensors: TensorMap,
    options: NativeLoadOptions,
  ): { promise: Promise<LoadedNative>; cancel(): void };
  /** Of a session's file; `positions` 0: it holds no sequence. Rejects with MODEL_NOT_FOUND, MODEL_FORMAT. */
  readSessionText(path: string): Promise<{ text: string; positions: number }>;
  /**
   * Writes the INT8 form of a model to `path`, a file that must not exist; rejects with INVALID_OPTION where it cannot be
   * written, and with what `loadModel` rejects with; nothing is left then. `metadata` joins what native says of the
   * scheme. Resolves to the file's size in bytes.
   */
  quantizeModel(
    container: Container,
    spec: SpecJson,
    tensors: TensorMap,
    options: NativeLoadOptions,
    path: string,
    metadata: Readonly<Record<string, string>>,
  ): { promise: Promise<number>; cancel(): void };
  /**
   * What the load would take, without reading a weight.
   * @param adapters those that will be loaded at once, by their tensors; `adapters` of the result is what all of them take
   */
  predictMemory(
    spec: SpecJson,
    tensors: TensorMap,
    options: NativeLoadOptions,
    adapters?: readonly (readonly Pick<AdapterTensor, 'name' | 'rank'>[])[],
  ): NativeMemoryPrediction;
  /** Bytes of models' memory that there is: weights, caches, scratch. Of all models of the process. Testing builds only. */
  liveBytes?(): number;
  /** With KVASIR_TRIM_HEAP=1 gives back to the system what malloc keeps of ended threads; for after a dispose. */
  releaseMemory(): Promise<void>;
  /** An empty index. @param threads 0: one per core. Throws INVALID_OPTION for dimensions beyond 1 to 65,536. */
  createVectors(dimensions: number, threads: number): NativeVectors;
  /**
   * Off the JS thread. @param offsets [tokens + 1] into `bytes` @param usable [tokens] 0: never part of a structure
   */
  createTokenTrie(bytes: Uint8Array, offsets: Uint32Array, usable: Uint8Array): Promise<TokenTrie>;
  cpu(): CpuReport;
  /**
   * Opens the CUDA library (KVASIR_CUDA_LIBRARY, or kvasir_cuda.so beside the addon) and asks CUDA for its devices, off the
   * JS thread. @param freeMemory ask each for its free memory too, which takes up some of it until the process ends
   */
  cuda(freeMemory: boolean): Promise<CudaReport>;
}

const file = 'kvasir.node';
// From a file of the package: where a bundler has put this code, `import.meta.url` may be another file's, or none.
const require = createRequire(join(packageRoot, 'package.json'));

let loaded: { addon: NativeAddon; path: string } | undefined;

/** The addon that is loaded, else the first that is there, else where a build would put it. */
export function addonPath(): string {
  if (loaded !== undefined) return loaded.path;
  return presentAddons()[0] ?? join(buildFolder(packageRoot), file);
}

function presentAddons(): string[] {
  return addonFolders(packageRoot)
    .map((folder) => join(folder, file))
    .filter((path) => existsSync(path));
}

/**
 * The native addon, loaded on first use: one that was built in the package itself, else that of the system's package.
 * @throws KvasirError ADDON_MISSING when there is none or it does not fit this system, with the command that mends it.
 */
export function native(): NativeAddon {
  if (loaded !== undefined) return loaded.addon;
  // Without a package there is nothing to look into.
  packageFile(file);
  const failures: Error[] = [];
  for (const path of presentAddons()) {
    try {
      loaded = { addon: require(path) as NativeAddon, path };
      return loaded.addon;
    } catch (error) {
      failures.push(error as Error);
    }
  }
  const what = explainMissing(
    packageRoot,
    failures.map(({ message }) => message),
  );
  throw new KvasirError('ADDON_MISSING', what, { cause: failures[0] });
}

/** A native error as KvasirError; anything else as it is. */
export function fromNative(error: unknown): unknown {
  if (!types.isNativeError(error) || error instanceof KvasirError) return error;
  const code = (error as { code?: unknown }).code;
  if (typeof code !== 'string') return new KvasirError('INTERNAL', error.message, { cause: error });
  return new KvasirError(code as KvasirErrorCode, error.message, { cause: error });
}

/** For `catch`: throws `fromNative(error)`. What a caller throws (an abort's reason, a callback's error) goes through as it is. */
export function rethrow(error: unknown): never {
  throw fromNative(error);
}

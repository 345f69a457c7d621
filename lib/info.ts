/** What a loaded model says about itself. */
import { KvasirError } from './errors.js';
import type { ModelDescription } from './formats/index.js';
import { activeParametersOf, type LayerKindInfo, layerKindsOf } from './layer-kinds.js';
import type { KvDtype, NativeModelInfo } from './native.js';
import { layerCount, modelKind } from './spec.js';

/** All in bytes. */
export interface MemoryInfo {
  /** Weights, KV cache and scratch, computed before the load. */
  predicted: number;
  /** The same, as they lie in memory now. Pages of the KV cache become resident when they are first used. */
  actual: number;
  /** Parts of `actual`. `scales` is a part of `weights`; `kv` has the states of sequences in it. */
  weights: number;
  scales: number;
  kv: number;
  /** What of `kv` is there for prefixes that later prompts begin with, where layers hold windows or states. */
  checkpoints: number;
  scratch: number;
}

export interface ModelInfo {
  /** What the reference resolved to: alias, `org/name`, folder or file name. */
  name: string;
  /** 'llama', 'gpt2', ... */
  architecture: string;
  /** 'encoder': it gives hidden states alone (`embed`), each token of a text sees all others, and nothing is generated. */
  kind: 'decoder' | 'encoder';
  /** Weights, a tied embedding counted once. */
  parameters: number;
  /** Of them, those that one token uses: without the experts that it is not routed to. */
  activeParameters: number;
  layers: number;
  /** Components of a token's hidden state, and of the vectors of `embed` where no dense step makes others of them. */
  hiddenSize: number;
  /** What differs between layers: windows, sizes, experts. Together they are all layers. */
  layerKinds: readonly Readonly<LayerKindInfo>[];
  /** Rows of the embedding: token ids are below it. */
  vocabSize: number;
  /** How the file stores most of its weights. */
  storedDtype: string;
  /** How they lie in memory. */
  dtype: 'int8' | 'fp32';
  kvDtype: KvDtype;
  /** Every linear and how it lies in memory: embed.tokens, layers.N.qkv|o|gate_up|down and more, lm_head unless it is tied. */
  linears: Readonly<Record<string, 'int8' | 'fp32'>>;
  /** 'cuda:N' when that GPU runs at least one layer. */
  device: 'cpu' | `cuda:${number}`;
  /** The processor's or the GPU's own name. */
  deviceName: string;
  /** Why it is this device. */
  deviceReason: string;
  /** How many of the layers the GPU runs, the last ones; 0 on the CPU. */
  gpuLayers: number;
  /** The kernels that run: 'scalar', 'avx2', 'avxvnni', 'avx512vnni', 'amx', ... */
  kernels: string;
  threads: number;
  /** Longest sequence, in tokens. */
  contextLength: number;
  /** Tokens that all sequences may hold together; in layers with a window, of as many sequences of contextLength as fit. */
  kvCapacity: number;
  /** Bytes that one token takes in the KV cache. Layers with a window hold it no longer than it is seen. */
  kvBytesPerToken: number;
  /** Windows whose layers hold them instead of whole contexts, in tokens. */
  kvWindows: readonly number[];
  /** States of sequences in memory: a running request takes two. 0: no layer has a state. */
  stateSlots: number;
  /** Beside those, of prefixes that later prompts may begin with. */
  keptStates: number;
  /** Bytes of one. */
  stateBytes: number;
  memory: Readonly<MemoryInfo>;
}

/** Throws INVALID_OPTION where a method needs an output layer that the model does not have. */
export function requireHead({ name, architecture, kind }: ModelInfo, method: string): void {
  if (kind === 'decoder') return;
  throw new KvasirError(
    'INVALID_OPTION',
    `${method} needs a model that predicts tokens, but ${name} is an encoder (${architecture}): it gives vectors, use embed.`,
  );
}

export interface EffectiveOptions {
  dtype: 'int8' | 'fp32';
  kvDtype: KvDtype;
  contextLength: number;
}

export function describeLoaded(
  name: string,
  description: ModelDescription,
  options: EffectiveOptions,
  native: NativeModelInfo,
  predicted: number,
  device: Pick<ModelInfo, 'deviceName' | 'deviceReason'>,
): ModelInfo {
  const kv = native.kvBytes + (native.stateSlots + native.keptStates) * native.stateBytes;
  return Object.freeze({
    name,
    architecture: description.architecture,
    kind: modelKind(description.spec),
    parameters: description.parameters,
    activeParameters: activeParametersOf(description),
    layers: layerCount(description.spec),
    hiddenSize: description.spec.hiddenSize,
    layerKinds: layerKindsOf(description.spec),
    vocabSize: description.spec.vocabSize,
    storedDtype: description.storedDtype,
    dtype: options.dtype,
    kvDtype: options.kvDtype,
    linears: Object.freeze(
      Object.fromEntries(Object.entries(native.linears).map(([name, { dtype }]) => [name, dtype])),
    ),
    device: native.device,
    ...device,
    gpuLayers: native.gpuLayers,
    kernels: native.kernels,
    threads: native.threads,
    contextLength: options.contextLength,
    kvCapacity: native.kvCapacity,
    kvBytesPerToken: native.kvBytesPerToken,
    kvWindows: Object.freeze(native.kvTables.flatMap(({ window }) => (window > 0 ? [window] : []))),
    stateSlots: native.stateSlots,
    keptStates: native.keptStates,
    stateBytes: native.stateBytes,
    memory: Object.freeze({
      predicted,
      actual: native.weightBytes + kv + native.scratchBytes,
      weights: native.weightBytes,
      scales: native.scaleBytes,
      kv,
      checkpoints: native.checkpoints.bytes,
      scratch: native.scratchBytes,
    }),
  });
}

/** What the addon says of the machine (processor and CUDA devices), of the memory that a model takes, and of what it sees. */
export interface CpuReport {
  brand: string;
  /** Kernel tables compiled in, best last. */
  compiled: string[];
  /** Those that this CPU can run. */
  available: string[];
  /** What a load would use now; absent when KVASIR_CPU_ISA names one that cannot run. */
  selected?: string;
  error?: string;
  cores: number;
}

export interface CudaDeviceInfo {
  /** CUDA's index: CUDA_VISIBLE_DEVICES decides which GPUs there are. */
  index: number;
  name: string;
  /** Such as 'sm_90'. */
  architecture: string;
  multiprocessors: number;
  /** Bytes. */
  totalMemory: number;
  /** Bytes; absent unless it was asked for. */
  freeMemory?: number;
  /** Of its memory by clock and width, bytes/s; absent where the driver does not say. */
  bandwidth?: number;
  /** Of the multiprocessors, Hz; absent where the driver does not say. */
  clock?: number;
  /** Why it cannot be used; absent when it can. */
  problem?: string;
}

export interface CudaReport {
  /** OK: at least one device can be used. See native/backend/cuda_library.h. */
  status:
    | 'OK'
    | 'NO_LIBRARY'
    | 'BROKEN_LIBRARY'
    | 'OTHER_VERSION'
    | 'NO_DRIVER'
    | 'DRIVER_TOO_OLD'
    | 'NO_DEVICE'
    | 'WRONG_ARCHITECTURE'
    | 'FAILED';
  /** What is wrong and what to do; empty when OK. */
  message: string;
  /** The CUDA library that was opened, or where it was looked for. */
  library: string;
  /** Architectures it holds code for; absent unless it was opened. */
  targets?: string;
  /** CUDA version that the driver supports, such as '13.0'; absent where there is no driver. */
  driverVersion?: string;
  /** CUDA version that the library was built with; absent unless it was opened. */
  runtimeVersion?: string;
  /** Whatever the status. */
  devices: CudaDeviceInfo[];
}

/** Pages of layers that hold the same positions of a sequence. */
export interface KvTable {
  /** A row of them sees positions less than so many away; 0: all before it. */
  window: number;
  /** Of all sequences. */
  pages: number;
}

/** For prefixes that a sequence itself cannot be cut to any more; see `shortestPrefix`. */
export interface CheckpointInfo {
  /** Lengths at which they are kept are multiples of this. */
  every: number;
  /** So many may be kept; 0: sequences need none, or there are no states for them. */
  most: number;
  /** So many of one prompt there is room for. */
  ofPrompt: number;
  /** What of the cache is there for them, and for whatever else is kept: pages of windows, and `keptStates`. */
  bytes: number;
}

/** All in bytes but `windows`. */
export interface NativeMemoryPrediction {
  weights: number;
  kv: number;
  /** What of `kv` is there for prefixes that are kept, where sequences need checkpoints. */
  checkpoints: number;
  /** Windows whose layers hold them instead of whole contexts, in positions. */
  windows: readonly number[];
  scratch: number;
  adapters: number;
}

/** What an op took, and what it wrote. */
export interface OpTime {
  /** 'layers.3.qkv' */
  name: string;
  /** Nanoseconds since the run of layers began. */
  start: number;
  ns: number;
  bytes: number;
}

export interface LayersSeen {
  /** [tokens, hiddenSize] after the layers. */
  hidden: Float32Array;
  /** [rows, vocabSize]; empty where the model has no output layer. */
  logits: Float32Array;
  taps: Record<string, Float32Array>;
  /** Where the run is `timed`, in the order in which they ran; else empty. */
  times: OpTime[];
}

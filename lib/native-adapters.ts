/** What a loaded model takes in beside its weights: LoRA adapters, and sequences from files. */

/** One low-rank change: y += scale * B (A x). */
export interface AdapterTensor {
  /** A linear as `NativeModelInfo.linears` names it, or a part of it: 'layers.3.qkv', 'layers.3.q', 'lm_head'. */
  name: string;
  /** 1 to 512. */
  rank: number;
  /** [rank, inputs] */
  a: Float32Array;
  /** [outputs, rank] */
  b: Float32Array;
  scale: number;
}

/** LoRA adapters, any number at once; nothing is merged. Between steps: during one, INTERNAL. */
export interface NativeAdapters {
  /** Resolves to its number. Rejects with INVALID_OPTION naming a tensor that does not fit; nothing is loaded then. */
  loadAdapter(tensors: readonly AdapterTensor[]): Promise<number>;
  /** What sequences computed with it stays. */
  freeAdapter(adapter: number): void;
  /** Bytes of all that are loaded, and of the rows between their products. */
  adapterBytes(): number;
}

/** Sequences in files, with a text of the caller's; between steps. See native/runtime/session_file.h. */
export interface NativeSessions {
  /** Writes `path`, which must not exist. @param sequence -1: the text alone. Resolves to bytes. */
  saveSequence(sequence: number, text: string, path: string): Promise<number>;
  /** Resolves to a new sequence. Rejects with MODEL_FORMAT, INVALID_OPTION (another model's), CONTEXT_OVERFLOW. */
  restoreSequence(path: string): Promise<number>;
}

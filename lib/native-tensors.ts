/** Tensors as a container declares them, as a model has them, and where the one lies in the other. */
export type TensorDtype = 'F32' | 'F16' | 'BF16' | 'F8_E4M3' | 'Q8_0' | 'Q4_K' | 'U8' | 'I64' | (string & {});

/** One tensor as a container file declares it. */
export interface TensorEntry {
  name: string;
  dtype: TensorDtype;
  /** Outermost dimension first (row-major), whatever the file's own order. */
  shape: number[];
  /** Size of the stored bytes. */
  bytes: number;
}

/** Where one canonical tensor comes from: a view of the rows of a stored one. */
export interface TensorSource {
  /** Name in the container. */
  name: string;
  /** The file stores [in, out] instead of [out, in] (GPT-2's Conv1D). Default false. */
  transposed?: boolean;
  /** Stored row (after transposing) of row 0, for tensors that are stored as one. Default 0. */
  firstRow?: number;
  /** Rows that follow each other, before the next `group` of them begins `stride` rows after this one. Default: all. */
  group?: number;
  stride?: number;
  /** Index into the outermost of three dimensions. */
  expert?: number;
  /** The value is 1 + what is stored. Default false. */
  addOne?: boolean;
  /** The value is -exp(what is stored). Default false. */
  negativeExp?: boolean;
  /** Bytes [..., columns / 32, 16] of two E2M1 values each. Default false. */
  fp4?: boolean;
  /** Scales that the container has beside it. Default: none. */
  scales?: TensorScales;
}

/** One scale for each block of `rows` x `columns` values of a matrix, row-major; blocks at the edges may be smaller. */
export interface TensorScales {
  /** Name in the container. */
  name: string;
  rows: number;
  columns: number;
}

/** A row of the table of a model's tensors (native/model/tensors.h). */
export interface ModelTensor {
  /** 'layers.3.qkv', 'layers.3.attn_norm.weight'. */
  name: string;
  /** 'table': rows that are looked up; 'linear': packed; 'vector': float32 values that stay as they are. */
  role: 'table' | 'linear' | 'vector';
  /** -1: before the layers; their number: after them. */
  layer: number;
  /** -1: of none. */
  expert: number;
  /**
   * Of a linear of a layer: the intermediate tensor that it reads, as `LayerRun.taps` names it, for an expert its rows that use
   * it; 'activation': what activation makes of its gate_up (`applyGateUp`).
   */
  reads?: 'attn_norm' | 'attention' | 'attn_gated' | 'ffn_norm' | 'activation';
  rows: number;
  columns: number;
  /** Of a table or linear: the canonical tensors that it stacks, without `.weight`. */
  parts: string[];
  /** [parts] rows of each. */
  partRows: number[];
  /** A checkpoint may leave it out. */
  optional: boolean;
  /** Of a linear: it is never INT8. */
  float32: boolean;
}

/** By canonical name: a linear's parts with `.weight` and `.bias`, everything else as the table of tensors calls it. */
export type TensorMap = Record<string, TensorSource>;

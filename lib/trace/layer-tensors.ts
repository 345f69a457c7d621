/**
 * What a traced layer shows, by the names that callers use: parts of a linear that computes several at once, heads apart, and
 * of the attention's scores and weights only the positions of the text.
 */
import { attentionOf, feedForwardOf, type ModelSpec } from '../spec.js';

/** Name -> what native calls it. */
const nativeNames = {
  attn_norm: 'attn_norm',
  q: 'qkv',
  k: 'qkv',
  v: 'qkv',
  q_rotated: 'q_rotated',
  k_rotated: 'k_rotated',
  scores: 'scores',
  weights: 'weights',
  attention_entropy: 'attention_entropy',
  attended: 'attention',
  attn_gate: 'attn_gate',
  attn_gated: 'attn_gated',
  conv_in: 'conv_in',
  delta_in: 'delta_in',
  delta_gates: 'delta_gates',
  attn_residual: 'attn_residual',
  ffn_norm: 'ffn_norm',
  gate: 'gate_up',
  up: 'gate_up',
  activation: 'activation',
  router: 'router',
  experts_used: 'experts_used',
  experts: 'experts',
  shared_activation: 'shared_activation',
  shared_gate: 'shared_gate',
  experts_and_shared: 'experts_and_shared',
  ffn_residual: 'ffn_residual',
} as const;

export type LayerTensorName = keyof typeof nativeNames;
export const layerTensorNames = Object.keys(nativeNames) as LayerTensorName[];

export function nativeNamesOf(names: readonly LayerTensorName[]): string[] {
  return [...new Set(names.map((name) => nativeNames[name]))];
}

/** What a layer showed of some tokens. */
export interface LayerTaps {
  layer: number;
  /** So many. */
  tokens: number;
  /** Of the whole text. */
  positions: number;
  /** Last part of a native name -> [tokens, columns]. */
  taps: ReadonlyMap<string, Float32Array>;
}

/** Of these tokens. */
export interface Kept {
  /** Rows [from, to). */
  from: number;
  to: number;
  /** Of queries; undefined: all. */
  heads?: readonly number[];
}

/** Undefined where the layer has no such tensor. */
export function layerTensor(
  spec: ModelSpec,
  { layer, tokens, positions, taps }: LayerTaps,
  name: LayerTensorName,
  kept: Kept,
): Picked | undefined {
  const tap = taps.get(nativeNames[name]);
  if (tap === undefined) return undefined;
  const source: Source = { values: tap, positions, width: tap.length / tokens };
  const attention = attentionOf(spec, layer);
  if (attention !== undefined) {
    const { heads, kvHeads, headDim } = attention;
    const [q, kv] = [heads * headDim, kvHeads * headDim];
    if (name === 'q') return headsOf(source, 0, heads, headDim, kept);
    const keys = keptKeys(kept, heads / kvHeads);
    if (name === 'k') return headsOf(source, q, kvHeads, headDim, keys);
    if (name === 'v') return headsOf(source, q + kv, kvHeads, headDim, keys);
    if (name === 'k_rotated') return headsOf(source, 0, kvHeads, headDim, keys);
    if (name === 'attended' || name === 'q_rotated') return headsOf(source, 0, heads, headDim, kept);
    if (name === 'scores' || name === 'weights') return positionsOf(source, heads, kept);
    if (name === 'attention_entropy') return entropiesOf(source, kept);
  }
  const { gated = false, size } = feedForwardOf(spec, layer);
  if (name === 'gate') return gated ? columnsOf(source, 0, size, kept) : undefined;
  if (name === 'up') return columnsOf(source, gated ? size : 0, size, kept);
  return columnsOf(source, 0, source.width, kept);
}

interface Source {
  /** [tokens, width] */
  values: Float32Array;
  positions: number;
  width: number;
}

/** Of the rows that are kept. */
export interface Picked {
  shape: number[];
  values: Float32Array;
}

/** [rows, columns] */
function columnsOf({ values, width }: Source, first: number, columns: number, { from, to }: Kept): Picked {
  const picked = new Float32Array((to - from) * columns);
  for (let row = from; row < to; ++row) {
    const start = row * width + first;
    picked.set(values.subarray(start, start + columns), (row - from) * columns);
  }
  return { shape: [to - from, columns], values: picked };
}

/** [rows, heads] */
function entropiesOf(source: Source, kept: Kept): Picked {
  if (kept.heads === undefined) return columnsOf(source, 0, source.width, kept);
  const { from, to, heads } = kept;
  const picked = new Float32Array((to - from) * heads.length);
  for (let row = from; row < to; ++row) {
    for (const [i, head] of heads.entries()) {
      picked[(row - from) * heads.length + i] = source.values[row * source.width + head]!;
    }
  }
  return { shape: [to - from, heads.length], values: picked };
}

/** [heads, rows, headDim] */
function headsOf(
  { values, width }: Source,
  first: number,
  heads: number,
  headDim: number,
  { from, to, heads: wanted }: Kept,
): Picked {
  const chosen = wanted ?? Array.from({ length: heads }, (_, head) => head);
  const picked = new Float32Array(chosen.length * (to - from) * headDim);
  let at = 0;
  for (const head of chosen) {
    for (let row = from; row < to; ++row) {
      const start = row * width + first + head * headDim;
      picked.set(values.subarray(start, start + headDim), at);
      at += headDim;
    }
  }
  return { shape: [chosen.length, to - from, headDim], values: picked };
}

/** [heads, rows, positions] of [tokens, heads, positions up to the last of these tokens] */
function positionsOf(
  { values, positions, width }: Source,
  heads: number,
  { from, to, heads: wanted }: Kept,
): Picked {
  const chosen = wanted ?? Array.from({ length: heads }, (_, head) => head);
  const context = width / heads;
  const picked = new Float32Array(chosen.length * (to - from) * positions);
  let at = 0;
  for (const head of chosen) {
    for (let row = from; row < to; ++row) {
      const start = row * width + head * context;
      picked.set(values.subarray(start, start + Math.min(context, positions)), at);
      at += positions;
    }
  }
  return { shape: [chosen.length, to - from, positions], values: picked };
}

/** The heads of keys that the wanted heads of queries read. */
function keptKeys(kept: Kept, shared: number): Kept {
  if (kept.heads === undefined) return kept;
  return { ...kept, heads: [...new Set(kept.heads.map((head) => Math.floor(head / shared)))] };
}

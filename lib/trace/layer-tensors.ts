/**
 * What a traced layer shows, by the names that callers use: parts of a linear that computes several at once, heads apart, and
 * of the attention's scores and weights only the positions of the text.
 */
import { attentionOf, feedForwardOf, type ModelSpec } from '../spec.js';
import { TracedTensor } from './tensor.js';

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

export interface LayerTaps {
  layer: number;
  /** Tokens of the text. */
  tokens: number;
  /** Last part of a native name -> [tokens, columns]. */
  taps: ReadonlyMap<string, Float32Array>;
}

export interface Kept {
  /** Rows [from, to) of the tokens. */
  from: number;
  to: number;
  /** Of queries; undefined: all. */
  heads?: readonly number[];
}

/** Undefined where the layer has no such tensor. */
export function layerTensor(
  spec: ModelSpec,
  { layer, tokens, taps }: LayerTaps,
  name: LayerTensorName,
  kept: Kept,
): TracedTensor | undefined {
  const tap = taps.get(nativeNames[name]);
  if (tap === undefined) return undefined;
  const source: Source = { values: tap, tokens, width: tap.length / tokens };
  const full = `layers.${layer}.${name}`;
  const make = ([shape, values]: Picked): TracedTensor => new TracedTensor(full, layer, shape, values);
  const attention = attentionOf(spec, layer);
  if (attention !== undefined) {
    const { heads, kvHeads, headDim } = attention;
    const [q, kv] = [heads * headDim, kvHeads * headDim];
    if (name === 'q') return make(headsOf(source, 0, heads, headDim, kept));
    const keys = keptKeys(kept, heads / kvHeads);
    if (name === 'k') return make(headsOf(source, q, kvHeads, headDim, keys));
    if (name === 'v') return make(headsOf(source, q + kv, kvHeads, headDim, keys));
    if (name === 'k_rotated') return make(headsOf(source, 0, kvHeads, headDim, keys));
    if (name === 'attended' || name === 'q_rotated') return make(headsOf(source, 0, heads, headDim, kept));
    if (name === 'scores' || name === 'weights') return make(positionsOf(source, heads, kept));
  }
  const { gated = false, size } = feedForwardOf(spec, layer);
  if (name === 'gate') return gated ? make(columnsOf(source, 0, size, kept)) : undefined;
  if (name === 'up') return make(columnsOf(source, gated ? size : 0, size, kept));
  return make(columnsOf(source, 0, source.width, kept));
}

interface Source {
  /** [tokens, width] */
  values: Float32Array;
  tokens: number;
  width: number;
}

type Picked = [shape: number[], values: Float32Array];

/** [rows, columns] */
function columnsOf({ values, width }: Source, first: number, columns: number, { from, to }: Kept): Picked {
  const picked = new Float32Array((to - from) * columns);
  for (let row = from; row < to; ++row) {
    const start = row * width + first;
    picked.set(values.subarray(start, start + columns), (row - from) * columns);
  }
  return [[to - from, columns], picked];
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
  return [[chosen.length, to - from, headDim], picked];
}

/** [heads, rows, tokens] of [tokens, heads, positions of the context] */
function positionsOf(
  { values, tokens, width }: Source,
  heads: number,
  { from, to, heads: wanted }: Kept,
): Picked {
  const chosen = wanted ?? Array.from({ length: heads }, (_, head) => head);
  const context = width / heads;
  const picked = new Float32Array(chosen.length * (to - from) * tokens);
  let at = 0;
  for (const head of chosen) {
    for (let row = from; row < to; ++row) {
      const start = row * width + head * context;
      picked.set(values.subarray(start, start + tokens), at);
      at += tokens;
    }
  }
  return [[chosen.length, to - from, tokens], picked];
}

/** The heads of keys that the wanted heads of queries read. */
function keptKeys(kept: Kept, shared: number): Kept {
  if (kept.heads === undefined) return kept;
  return { ...kept, heads: [...new Set(kept.heads.map((head) => Math.floor(head / shared)))] };
}

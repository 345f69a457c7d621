/** What a page says beside its tensors: the JSON in it. */
import type { AttentionSpec, FeedForwardSpec, ModelSpec } from '../spec.js';
import { attentionOf, feedForwardOf, layerCount, stateOf } from '../spec.js';
import type { TensorStatistics } from '../trace/tensor.js';
import type { TracedToken } from '../trace/trace.js';
import type { Beside } from './beside.js';
import type { PageTimeline } from './page-timeline.js';
import type { ModelSize, ScalePart } from './scale.js';
import type { ValueEntry, ValueKind } from './values.js';

/** [id, text, logit, probability] */
export type TopEntry = readonly [number, string, number, number];

export interface PagePrediction {
  position: number;
  entropy: number;
  surprisal?: number;
  logSumExp: number;
  /** 50 at the chosen positions, else the first. */
  top: readonly TopEntry[];
}

export interface PageData {
  /** Version of the package. */
  kvasir: string;
  digits: number;
  kind: ValueKind;
  /** The part that is shown first, from 1. Default 1. */
  part?: number;
  /** The page shows that part alone; these files, beside it, show all of them. */
  series?: readonly string[];
  model: {
    name: string;
    architecture: string;
    kind: 'decoder' | 'encoder';
    dtype: string;
    kvDtype: string;
    parameters: number;
    weightBytes: number;
    vocabSize: number;
  };
  spec: PageSpec;
  tokens: readonly TracedToken[];
  chosen: readonly number[];
  predictions: readonly PagePrediction[];
  /** [layers][tokens] of [text, probability]; [] without an output layer. */
  lens: readonly (readonly (readonly [string, number])[])[];
  /** Chosen position -> tokens whose rows of the table are nearest to its own, [text, cosine]. */
  neighbours: Readonly<Record<number, readonly (readonly [string, number])[]>>;
  /**
   * Position -> before the first layer and behind each one, tokens whose rows of the table are nearest to the residual stream,
   * [text, cosine]. Of as many of the chosen positions as take no more than a second or so.
   */
  streamNeighbours: Readonly<Record<number, readonly (readonly (readonly [string, number])[])[]>>;
  scale: readonly ScalePart[];
  scaling: readonly ModelSize[];
  /** Absent where nothing was timed: layers that run on a GPU. */
  timeline?: PageTimeline;
  tensors: Readonly<Record<string, ValueEntry>>;
  statistics: Readonly<Record<string, TensorStatistics>>;
  /** Linear -> which of its rows is in the page, as the tensor 'cell.<linear>', and its bias. */
  cells: Readonly<Record<string, { row: number; bias: number }>>;
  /** Token id -> bias of the output layer, where it has one. */
  headBias?: Readonly<Record<number, number>>;
  beside?: Beside;
}

interface PageAttention extends Pick<AttentionSpec, 'heads' | 'kvHeads' | 'headDim' | 'window' | 'softCap'> {
  scale: number;
  causal: boolean;
  sinks: boolean;
  gate: boolean;
  rope?: { kind: string; frequencies: readonly number[] };
  headNorm?: string;
  bias?: 'alibi' | 'buckets';
}

/** What formulas and arithmetic need of a spec. */
export interface PageSpec {
  norm: 'rms' | 'layer';
  normEps: number;
  residual: ModelSpec['stack']['residual'];
  /** 'plain': what attention and feed-forward give is added as it is. */
  joins: 'plain' | 'normed';
  /** Layers read the stream through a norm. */
  normsInput: boolean;
  residualScale: number;
  embeddingScale: number;
  learnedPositions: boolean;
  positionOffset: number;
  hasTypes: boolean;
  embedNorm: boolean;
  logitsScale: number;
  logitsSoftCap?: number;
  layers: {
    attention?: PageAttention;
    state?: string;
    feedForward: Pick<FeedForwardSpec, 'activation' | 'size' | 'experts'> & { gated: boolean };
  }[];
}

function attentionFacts(spec: ModelSpec, attention: AttentionSpec): PageAttention {
  const { heads, kvHeads, headDim, window, softCap, headNorm, scoreBias, outputGate, causal, sinks } =
    attention;
  const rope = attention.rope === undefined ? undefined : spec.ropes![attention.rope]!;
  return {
    heads,
    kvHeads,
    headDim,
    window,
    softCap,
    scale: attention.scale ?? 1 / Math.sqrt(headDim),
    causal: causal !== false,
    sinks: sinks === true,
    gate: outputGate === true,
    ...(rope ? { rope: { kind: rope.kind, frequencies: rope.inverseFrequencies } } : {}),
    ...(headNorm ? { headNorm: headNorm.kind } : {}),
    ...(scoreBias ? { bias: scoreBias.kind } : {}),
  };
}

export function pageSpec(spec: ModelSpec): PageSpec {
  const { residual } = spec.stack;
  const layers = Array.from({ length: layerCount(spec) }, (_, layer) => {
    const attention = attentionOf(spec, layer);
    const state = stateOf(spec, layer)?.kind;
    const { activation, size, gated = false, experts } = feedForwardOf(spec, layer);
    return {
      ...(attention ? { attention: attentionFacts(spec, attention) } : {}),
      ...(state ? { state } : {}),
      feedForward: { activation, size, gated, ...(experts ? { experts } : {}) },
    };
  });
  return {
    norm: spec.norm,
    normEps: spec.normEps,
    residual,
    joins: residual === 'pre' || residual === 'parallel' ? 'plain' : 'normed',
    normsInput: residual !== 'post' && residual !== 'add_norm',
    residualScale: spec.residualScale ?? 1,
    embeddingScale: spec.embedding?.scale ?? 1,
    learnedPositions: spec.embedding?.positions !== undefined,
    positionOffset: spec.embedding?.positionOffset ?? 0,
    hasTypes: spec.embedding?.types !== undefined,
    embedNorm: spec.embedding?.norm === true,
    logitsScale: spec.logitsScale ?? 1,
    logitsSoftCap: spec.logitsSoftCap,
    layers,
  };
}

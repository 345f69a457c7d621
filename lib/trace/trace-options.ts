/** What `model.trace` may be asked for. */
import { types } from 'node:util';
import { type ChainOptions, chainRules } from '../generation/chain-options.js';
import type { SamplingOptions } from '../generation/sampling-options.js';
import {
  boolean,
  callback,
  integer,
  invalidOption,
  isRecord,
  list,
  parseOptions,
  type Rule,
  signal,
  text,
} from '../given.js';
import { attentionOf, layerCount, type ModelSpec } from '../spec.js';
import { type LayerTensorName, layerTensorNames } from './layer-tensors.js';

const outerNames = ['token_embed', 'embed', 'final_norm', 'logits'] as const;
export type OuterTensorName = (typeof outerNames)[number];

/**
 * Outside of layers: 'token_embed' and, after scale, positions and norm, 'embed' [tokens, hidden]; 'final_norm'; 'logits' [tokens,
 * vocabulary]. Of each layer: 'attn_norm', the input of 'q' [heads, tokens, head dim], 'k' and 'v' (as the linear gives them,
 * before norms of heads and rotary embedding); 'q_rotated' and 'k_rotated', as scores take them; 'scores' and 'weights' [heads,
 * tokens, tokens]; 'attention_entropy' [tokens, heads], of these weights, in nats, without holding them; 'attended' [heads,
 * tokens, head dim]; 'attn_residual', the residual stream behind attention; 'ffn_norm', 'gate', 'up', 'activation' [tokens, size];
 * 'ffn_residual', the residual stream behind the layer. With experts 'router', 'experts_used', 'experts' and those of the
 * shared one; of layers with a state their input and gates. A layer that lacks one is passed over.
 */
export type TraceTensorName = OuterTensorName | LayerTensorName;
export const traceTensorNames: readonly string[] = [...outerNames, ...layerTensorNames];

/** A change of the residual stream, or of what a head attended, while the text is computed. */
export interface Intervention {
  /** From 0 on. */
  layer: number;
  /** Leave the layer out: the residual stream goes through as it came; with `head`: what it attended is 0. */
  skip?: boolean;
  /** The head of queries that is meant, of a layer with attention. */
  head?: number;
  /** With `head`: what takes the place of what it attended, [tokens, head dim] or, with `token`, [head dim]. */
  attended?: Float32Array;
  /** What takes the place of the residual stream behind the layer, [tokens, hidden] or, with `token`, [hidden]. */
  residual?: Float32Array;
  /** Position of the one token that is meant. */
  token?: number;
}

/** Whose logit is taken apart. */
export interface Attributed {
  /** Position whose expectation it is. Default: the last one. */
  position?: number;
  /** Id of the token. Default: the most probable one. */
  token?: number;
}

/** How tokens are drawn: those options of `generate` that say so, as it takes them. */
export type TraceSampling = Partial<Omit<SamplingOptions, 'chain'>> & ChainOptions;

export interface TraceOptions {
  /** Which layers' tensors are kept, from 0 on. Default: all. */
  layers?: readonly number[];
  /** Which heads, of queries; of 'k' and 'v' those that they read. Default: all. */
  heads?: readonly number[];
  /** Positions [from, to) that are kept. Default: all. */
  tokens?: readonly [number, number];
  /** Default: 'embed', 'weights', 'attn_residual', 'ffn_residual', 'final_norm'. */
  tensors?: readonly TraceTensorName[];
  /**
   * Logit lens: so many most probable tokens behind each layer, as if it were the last one. From 0, the default: none, to 100.
   */
  lens?: number;
  /**
   * So many tokens whose rows of the token table point the way of the residual stream at each position that is kept, before the
   * first layer and behind each layer that is kept: `Trace.neighbours`. A vector is compared with the whole table, which takes
   * some milliseconds for each million of its values: choose `layers` and `tokens`. From 0, the default: none, to 100.
   */
  neighbours?: number;
  /** So many candidates of each prediction, from 1 to 100. Default: 10, or as many as `lens` where that is more. */
  top?: number;
  /** Direct logit attribution: what each layer and head adds to one logit. Default: none. */
  attribute?: Attributed;
  /** Tokens to generate first; they are traced too. Default 0. */
  generate?: number;
  /** With `generate`: how they are drawn. Default: greedily. */
  sampling?: TraceSampling;
  /** What the model expects after each token: `Trace.predictions`. Default true. */
  predictions?: boolean;
  /** Time each op: `Trace.timeline`. Not where layers run on a GPU. Default false. */
  timeline?: boolean;
  /**
   * A folder that tensors go to as they are computed, in place of memory: `tensors.safetensors`, and `trace.json` in the end. It
   * is made where there is none; what it has of a trace is replaced. Default: memory.
   */
  folder?: string;
  /** Default: none. */
  interventions?: readonly Intervention[];
  onProgress?: (progress: { done: number; total: number }) => void;
  /** Aborting rejects with the signal's reason within one layer. */
  signal?: AbortSignal;
}

export type TraceSettings = Required<
  Pick<TraceOptions, 'lens' | 'neighbours' | 'top' | 'generate' | 'predictions' | 'timeline'>
> & {
  layers: readonly number[];
  heads: readonly number[] | undefined;
  tokens: readonly [number, number] | undefined;
  tensors: ReadonlySet<string>;
  interventions: readonly Intervention[];
} & Pick<TraceOptions, 'attribute' | 'folder' | 'onProgress' | 'sampling' | 'signal'>;

/** Candidates of a prediction where nobody says how many. */
const leastTop = 10;
/** Options of `generate` that say how tokens are drawn. */
export const samplingNames: readonly string[] = [
  ...['temperature', 'topK', 'topP', 'minP', 'typicalP', 'repetitionPenalty', 'presencePenalty'],
  ...['frequencyPenalty', 'logitBias', 'seed', ...Object.keys(chainRules)],
];
const defaults = ['embed', 'weights', 'attn_residual', 'ffn_residual', 'final_norm'];

function isIndex(value: unknown, limit: number): boolean {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) < limit;
}

function rulesFor(spec: ModelSpec): Record<keyof TraceOptions, Rule> {
  const layers = layerCount(spec);
  const heads = Math.max(0, ...spec.attentions.map((attention) => attention.heads));
  return {
    layers: list((v) => isIndex(v, layers), 0, layers, `layers from 0 to ${layers - 1}`),
    heads: list((v) => isIndex(v, heads), 1, heads, `heads from 0 to ${heads - 1}`),
    tokens: list((v) => isIndex(v, 2 ** 31), 2, 2, '[from, to)'),
    tensors: list(
      (v) => traceTensorNames.includes(v as string),
      0,
      64,
      `some of ${traceTensorNames.join(', ')}`,
    ),
    lens: integer(0, 100),
    neighbours: integer(0, 100),
    top: integer(1, 100),
    generate: integer(0, 2 ** 20),
    // What it holds is read by `generate`.
    sampling: {
      copy: (v) => (isRecord(v) ? { ...v } : v),
      fits: (v) => isRecord(v) && Object.keys(v).every((name) => samplingNames.includes(name)),
      allowed: `an object of ${samplingNames.join(', ')}`,
    },
    predictions: boolean,
    timeline: boolean,
    folder: { fits: (v) => text.fits(v) && /^[^\0]+$/.test(v as string), allowed: 'the path of a folder' },
    interventions: {
      copy: (v) => (Array.isArray(v) && v.length <= 4096 ? Array.from(v, copyIntervention) : v),
      fits: (v) => Array.isArray(v) && v.every((one) => isIntervention(one, spec)),
      allowed: `a list of { layer, skip: true }, { layer, residual, token? }, { layer, head, skip: true, token? } or { layer, head, attended, token? }, with layers from 0 to ${layers - 1} and residuals of ${spec.hiddenSize} values a token`,
    },
    attribute: {
      copy: (v) => (typeof v === 'object' && v !== null ? { ...v } : v),
      fits: isAttributed,
      allowed: '{ position?, token? }, both from 0 on',
    },
    onProgress: callback,
    signal,
  };
}

function isAttributed(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const { position = 0, token = 0, ...others } = value as Record<string, unknown>;
  return isIndex(position, 2 ** 31) && isIndex(token, 2 ** 31) && Object.keys(others).length === 0;
}

function copyIntervention(given: unknown): unknown {
  if (typeof given !== 'object' || given === null) return given;
  const { layer, skip, residual, token, head, attended, ...others } = given as Record<string, unknown>;
  if (Object.keys(others).length > 0) return undefined;
  const copyOf = (values: unknown): unknown =>
    types.isFloat32Array(values) ? new Float32Array(values) : values;
  return { layer, skip, residual: copyOf(residual), token, head, attended: copyOf(attended) };
}

function isIntervention(value: unknown, spec: ModelSpec): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const { layer, skip, residual, token, head, attended } = value as Record<string, unknown>;
  if (!isIndex(layer, layerCount(spec))) return false;
  if (head !== undefined) return residual === undefined && isOfHead(value as Record<string, unknown>, spec);
  if (attended !== undefined) return false;
  if (residual === undefined) return skip === true && token === undefined;
  if (skip !== undefined || !types.isFloat32Array(residual)) return false;
  if (token === undefined) return residual.length > 0 && residual.length % spec.hiddenSize === 0;
  return isIndex(token, 2 ** 31) && residual.length === spec.hiddenSize;
}

function isOfHead({ layer, skip, token, head, attended }: Record<string, unknown>, spec: ModelSpec): boolean {
  const attention = attentionOf(spec, layer as number);
  if (attention === undefined || !isIndex(head, attention.heads)) return false;
  if (token !== undefined && !isIndex(token, 2 ** 31)) return false;
  if (attended === undefined) return skip === true;
  if (skip !== undefined || !types.isFloat32Array(attended) || attended.length === 0) return false;
  return token === undefined
    ? attended.length % attention.headDim === 0
    : attended.length === attention.headDim;
}

/** Throws INVALID_OPTION. */
export function parseTraceOptions(given: unknown, spec: ModelSpec): TraceSettings {
  const options = parseOptions(rulesFor(spec), given, 'trace') as TraceOptions;
  const {
    tokens,
    lens = 0,
    neighbours = 0,
    top = Math.max(leastTop, lens),
    generate = 0,
    predictions = true,
    timeline = false,
    interventions = [],
    tensors = defaults,
    heads,
    attribute,
    sampling,
    folder,
  } = options;
  if (tokens && tokens[0] >= tokens[1])
    throw invalidOption('tokens', tokens, '[from, to) with at least one token');
  if (sampling !== undefined && generate === 0) {
    throw invalidOption('sampling', sampling, 'left out where nothing is generated: give generate');
  }
  const all = Array.from({ length: layerCount(spec) }, (_, layer) => layer);
  const layers = options.layers ?? all;
  const fewest = Math.min(
    ...layers.map((layer) => attentionOf(spec, layer)?.heads ?? Number.POSITIVE_INFINITY),
  );
  const beyond = heads?.find((head) => head >= fewest);
  if (beyond !== undefined) throw invalidOption('heads', beyond, `from 0 to ${fewest - 1} in these layers`);
  const { onProgress, signal: given_ } = options;
  const set = new Set<string>(tensors);
  return {
    layers,
    heads,
    tokens,
    tensors: set,
    lens,
    neighbours,
    top,
    generate,
    sampling,
    predictions,
    timeline,
    folder,
    interventions,
    attribute,
    onProgress,
    signal: given_,
  };
}

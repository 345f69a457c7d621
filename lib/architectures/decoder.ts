/**
 * The shape that most decoders share, read from both formats: Llama's. A family takes it, changes what it does otherwise and
 * makes a spec of it.
 */
import * as v from 'valibot';
import { KvasirError } from '../errors.js';
import type { AttentionSpec, FeedForwardSpec, ModelSpec, RopeSpec, StateSpec } from '../spec.js';
import { count, finite, index, parseConfig, unsupported } from '../config-schema.js';
import { activationOf } from './activations.js';
import type { GgufFacts, Presence } from './family.js';
import type { GgufKeys } from './gguf-keys.js';
import {
  ggufRope,
  hfRope,
  type Rope,
  ropeConfigEntries,
  type RopeDefaults,
  ropeScalingOf,
  ropeTensors,
} from './rope-config.js';
import { checkSize, checkSpec } from './spec-checks.js';

const configSchema = v.looseObject({
  ...ropeConfigEntries,
  hidden_size: count,
  intermediate_size: count,
  num_hidden_layers: count,
  num_attention_heads: count,
  num_key_value_heads: v.nullish(count),
  head_dim: v.nullish(count),
  hidden_act: v.nullish(v.string()),
  /** Gemma's name of it. */
  hidden_activation: v.nullish(v.string()),
  vocab_size: count,
  rms_norm_eps: v.optional(finite),
  /** 0: none. */
  sliding_window: v.nullish(index),
  layer_types: v.nullish(v.array(v.string())),
  attention_bias: v.nullish(v.boolean()),
  mlp_bias: v.nullish(v.boolean()),
  tie_word_embeddings: v.optional(v.boolean()),
});
export type DecoderConfig = v.InferOutput<typeof configSchema>;

/** One attention and one feed-forward for all layers, until a family says otherwise. */
export interface DecoderShape {
  /** Without its rotary embedding. */
  attention: AttentionSpec;
  feedForward: FeedForwardSpec;
  /** Of the layers that have experts instead. */
  experts?: { feedForward: FeedForwardSpec; isIn: (layer: number) => boolean };
  /** null: none, unless the kind of a layer has one. */
  rope: Rope | null;
  layers: number;
  spec: Omit<ModelSpec, 'ropes' | 'attentions' | 'feedForwards' | 'stack'>;
  stack: Omit<ModelSpec['stack'], 'layers'>;
  head: Presence;
  tied?: boolean;
  ignored: readonly RegExp[];
}

export interface HfShape extends DecoderShape {
  config: DecoderConfig;
}

/** What a family does where a configuration is silent. */
export interface HfDefaults extends RopeDefaults {
  /** Default: the heads share the hidden size. */
  headDim?: number;
  normEps?: number;
  activation?: string;
  tied?: boolean;
}

/**
 * From config.json in the words of Llama. Throws MODEL_FORMAT, and UNSUPPORTED_ARCHITECTURE for what no decoder here does.
 */
export function hfShape(family: string, raw: unknown, defaults: HfDefaults = {}): HfShape {
  const config = parseConfig(configSchema, raw);
  const heads = config.num_attention_heads;
  const headDim = config.head_dim ?? defaults.headDim ?? config.hidden_size / heads;
  const activation = config.hidden_activation ?? config.hidden_act ?? defaults.activation ?? 'silu';
  const tied = config.tie_word_embeddings ?? defaults.tied ?? false;
  return {
    config,
    attention: { heads, kvHeads: config.num_key_value_heads ?? heads, headDim },
    feedForward: {
      activation: activationOf(family, activation),
      gated: true,
      size: config.intermediate_size,
    },
    rope: hfRope(family, config, headDim, { defaults, scaling: ropeScalingOf(config) }),
    layers: config.num_hidden_layers,
    spec: {
      vocabSize: config.vocab_size,
      hiddenSize: config.hidden_size,
      maxPositions: config.max_position_embeddings,
      norm: 'rms',
      normEps: config.rms_norm_eps ?? defaults.normEps ?? 1e-6,
    },
    stack: { residual: 'pre' },
    head: tied ? 'optional' : 'required',
    tied,
    ignored: [/\.rotary_emb\.inv_freq$/],
  };
}

/** From GGUF metadata in the words of Llama. */
export function ggufShape(facts: GgufFacts, ropeKind: RopeSpec['kind']): DecoderShape {
  const { keys, embeddingRows } = facts;
  const hiddenSize = keys.count('embedding_length');
  const heads = keys.count('attention.head_count');
  const headDim = keys.count('attention.key_length', heads > 0 ? hiddenSize / heads : 0);
  if (keys.count('attention.value_length', headDim) !== headDim) {
    throw unsupported(keys.prefix, 'values of another size than keys');
  }
  const kvHeads = ggufKvHeads(keys, heads);
  const layerNorm = keys.has('attention.layer_norm_epsilon');
  return {
    attention: { heads, kvHeads, headDim },
    feedForward: { activation: 'silu', gated: true, size: ggufSize(keys) },
    rope: ggufRope(facts, ropeKind, headDim),
    layers: keys.count('block_count'),
    spec: {
      vocabSize: embeddingRows,
      hiddenSize,
      maxPositions: keys.count('context_length'),
      norm: layerNorm ? 'layer' : 'rms',
      normEps: keys.number(`attention.layer_norm_${layerNorm ? '' : 'rms_'}epsilon`, 1e-5),
    },
    stack: { residual: 'pre' },
    head: 'optional',
    ignored: [ropeTensors],
  };
}

/** Where all layers have experts, a file may say theirs alone. */
function ggufSize(keys: GgufKeys): number {
  const name = 'feed_forward_length';
  const expert = `expert_${name}`;
  return keys.count(keys.has(expert) && !keys.has(name) ? expert : name);
}

/** One number, or one for each layer, 0 where it has a state in the place of attention. */
function ggufKvHeads(keys: GgufKeys, heads: number): number {
  const name = 'attention.head_count_kv';
  const each = new Set(keys.counts(name)?.filter((n) => n > 0));
  if (each.size > 1) throw unsupported(keys.prefix, 'layers with different numbers of key-value heads');
  return each.size === 1 ? [...each][0]! : keys.count(name, heads);
}

/** Layers that see a window of positions only. */
export interface Windows {
  size: number;
  isIn: (layer: number) => boolean;
}

/** Of a configuration that does not speak of one; null says that there is none. */
const defaultWindow = 4096;

/** The reference's names of what a layer sees, the older ones too, and whether that is a window. */
const layerTypes: ReadonlyMap<string, boolean> = new Map([
  ['full_attention', false],
  ['attention', false],
  ['sliding_attention', true],
]);

/**
 * As `layer_types` says, or else `isIn`; undefined where the configuration has no window. Throws MODEL_FORMAT for types of
 * another number of layers, UNSUPPORTED_ARCHITECTURE for other types.
 */
export function windowsOf(config: DecoderConfig, isIn: Windows['isIn']): Windows | undefined {
  const { layer_types: types, num_hidden_layers: layers, sliding_window: size = defaultWindow } = config;
  if (types && types.length !== layers) {
    throw new KvasirError(
      'MODEL_FORMAT',
      `config.json cannot be used. layer_types names ${types.length} layers, but num_hidden_layers is ${layers}.`,
    );
  }
  const other = types?.find((type) => !layerTypes.has(type));
  if (other !== undefined) throw unsupported(String(config.model_type), `layers of the type "${other}"`);
  if (!size) return undefined;
  return { size, isIn: types ? (layer) => layerTypes.get(types[layer]!)! : isIn };
}

const upperSchema = v.looseObject({
  use_sliding_window: v.optional(v.boolean(), false),
  /** Not null, as in the reference. */
  max_window_layers: v.optional(v.pipe(v.number(), v.safeInteger()), 28),
});

/**
 * Where `use_sliding_window` says so, and unless there are `layer_types`: by default the layers from `max_window_layers`
 * on, else those that `isIn` says of that number.
 */
export function upperWindowsOf(
  config: DecoderConfig,
  isIn = (layer: number, full: number): boolean => layer >= full,
): Windows | undefined {
  const { use_sliding_window: used, max_window_layers: full } = parseConfig(upperSchema, config);
  const windows = windowsOf(config, (layer) => isIn(layer, full));
  return used ? windows : undefined;
}

/** Of a GGUF file, which has a pattern of its own, or says that every n-th layer has no window, by default the `every`-th. */
export function ggufWindows({ keys }: GgufFacts, every: number): Windows | undefined {
  const size = keys.count('attention.sliding_window', 0);
  if (size === 0) return undefined;
  const name = 'attention.sliding_window_pattern';
  const flags = keys.flags(name);
  if (flags) return { size, isIn: (layer) => flags[layer] ?? false };
  const period = keys.count(name, every);
  return { size, isIn: (layer) => period === 0 || layer % period < period - 1 };
}

/** What the attention of one layer does otherwise; a rotary embedding that is null is none. */
export interface LayerKind {
  window?: number;
  rope?: Rope | null;
  /** In the place of attention: the same object for layers that are alike. */
  state?: StateSpec;
}

/** Layers with a window are of one kind, the others of another. */
export function layerKinds(windows: Windows | undefined, inside: LayerKind = {}, outside: LayerKind = {}) {
  return (layer: number): LayerKind => (windows?.isIn(layer) ? { ...inside, window: windows.size } : outside);
}

/** The spec of a decoder whose layers are all alike, but for experts and for what `kindOf` says of their attention. */
export function decoderSpec(
  shape: DecoderShape,
  kindOf: (layer: number) => LayerKind = () => ({}),
): ModelSpec {
  const { attention, experts, layers, spec, stack } = shape;
  // Sizes are checked before anything is made as often as a configuration says.
  checkSize('layers', layers);
  const ropes: Rope[] = [];
  const attentions = new Map<string, { index: number; spec: AttentionSpec }>();
  const attentionAt = (layer: number): number => {
    const { window, rope = shape.rope } = kindOf(layer);
    if (rope !== null && !ropes.includes(rope)) ropes.push(rope);
    const own = { window, rope: rope === null ? undefined : ropes.indexOf(rope) };
    const made = {
      ...attention,
      ...(own.rope === undefined ? {} : { rope: own.rope }),
      ...(window === undefined ? {} : { window }),
    };
    const key = JSON.stringify(own);
    const found = attentions.get(key) ?? { index: attentions.size, spec: made };
    attentions.set(key, found);
    return found.index;
  };
  const feedForwards: FeedForwardSpec[] = [];
  const feedForwardAt = (layer: number): number => {
    const own = experts?.isIn(layer) ? experts.feedForward : shape.feedForward;
    if (!feedForwards.includes(own)) feedForwards.push(own);
    return feedForwards.indexOf(own);
  };
  const states: StateSpec[] = [];
  const mixerAt = (layer: number) => {
    const { state } = kindOf(layer);
    if (state === undefined) return { attention: attentionAt(layer) };
    if (!states.includes(state)) states.push(state);
    return { state: states.indexOf(state) };
  };
  const order = Array.from({ length: layers }, (_, layer) => ({
    ...mixerAt(layer),
    feedForward: feedForwardAt(layer),
  }));
  const made: ModelSpec = {
    ...spec,
    ropes: [],
    attentions: [...attentions.values()].map((one) => one.spec),
    ...(states.length === 0 ? {} : { states }),
    feedForwards,
    stack: { ...stack, layers: order },
  };
  checkSpec(made);
  made.ropes = ropes.map(ropeSpec);
  return made;
}

function ropeSpec({ kind, table }: Rope): RopeSpec {
  const { inverseFrequencies, scale = 1, long } = table();
  return {
    kind,
    inverseFrequencies: [...inverseFrequencies],
    ...(scale === 1 ? {} : { scale }),
    ...(long ? { long: { beyond: long.beyond, inverseFrequencies: [...long.inverseFrequencies] } } : {}),
  };
}

/** These linears have a bias, others have none. */
export function biasesOf(...parts: readonly string[]): (part: string) => Presence {
  return (part) => (parts.includes(part) ? 'required' : 'none');
}

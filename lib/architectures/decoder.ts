/**
 * The shape that most decoders share, read from both formats: Llama's. A family takes it, changes what it does otherwise and
 * makes a spec of it.
 */
import * as v from 'valibot';
import { KvasirError } from '../errors.js';
import type { AttentionSpec, FeedForwardSpec, ModelSpec, RopeSpec } from '../spec.js';
import { count, finite, parseConfig, positive, unsupported } from '../config-schema.js';
import type { GgufFacts, Presence } from './family.js';
import { type RopeScaling, ropeFrequencies, ropeScalingSchema, scaledByTensor } from './rope.js';
import { checkSize, checkSpec } from './spec-checks.js';

const configSchema = v.looseObject({
  hidden_size: count,
  intermediate_size: count,
  num_hidden_layers: count,
  num_attention_heads: count,
  num_key_value_heads: v.nullish(count),
  head_dim: v.nullish(count),
  hidden_act: v.optional(v.string(), 'silu'),
  vocab_size: count,
  max_position_embeddings: v.optional(count, 2048),
  rms_norm_eps: v.optional(finite, 1e-6),
  rope_theta: v.optional(positive),
  rope_scaling: v.nullish(ropeScalingSchema),
  /** Newer files keep theta and scaling together here. */
  rope_parameters: v.nullish(ropeScalingSchema),
  partial_rotary_factor: v.nullish(finite),
  sliding_window: v.nullish(count),
  layer_types: v.nullish(v.array(v.string())),
  attention_bias: v.nullish(v.boolean()),
  mlp_bias: v.nullish(v.boolean()),
  tie_word_embeddings: v.optional(v.boolean(), false),
});
export type DecoderConfig = v.InferOutput<typeof configSchema>;

/** One attention and one feed-forward for all layers, until a family says otherwise. */
export interface DecoderShape {
  attention: AttentionSpec;
  feedForward: FeedForwardSpec;
  rope: Omit<RopeSpec, 'inverseFrequencies'> & { frequencies: () => Float32Array };
  layers: number;
  spec: Pick<ModelSpec, 'vocabSize' | 'hiddenSize' | 'maxPositions' | 'norm' | 'normEps'>;
  head: Presence;
  tied?: boolean;
  ignored: readonly RegExp[];
}

export interface HfShape extends DecoderShape {
  config: DecoderConfig;
}

/**
 * From config.json in the words of Llama. `defaultHeadDim` is that of a configuration without one; by default the heads share
 * the hidden size. Throws MODEL_FORMAT, and UNSUPPORTED_ARCHITECTURE for what no decoder here does.
 */
export function hfShape(family: string, raw: unknown, defaultHeadDim?: number): HfShape {
  const config = parseConfig(configSchema, raw);
  if (config.hidden_act !== 'silu') throw unsupported(family, `the activation "${config.hidden_act}"`);
  if ((config.partial_rotary_factor ?? 1) !== 1) throw unsupported(family, 'a partial rotary embedding');
  const heads = config.num_attention_heads;
  const headDim = config.head_dim ?? defaultHeadDim ?? config.hidden_size / heads;
  const scaling: RopeScaling | null | undefined = config.rope_parameters ?? config.rope_scaling;
  const theta = config.rope_parameters?.rope_theta ?? config.rope_theta ?? 10000;
  const tied = config.tie_word_embeddings;
  return {
    config,
    attention: { heads, kvHeads: config.num_key_value_heads ?? heads, headDim, rope: 0 },
    feedForward: { activation: 'silu', gated: true, size: config.intermediate_size },
    rope: { kind: 'half', frequencies: () => ropeFrequencies(theta, headDim, scaling) },
    layers: config.num_hidden_layers,
    spec: {
      vocabSize: config.vocab_size,
      hiddenSize: config.hidden_size,
      maxPositions: config.max_position_embeddings,
      norm: 'rms',
      normEps: config.rms_norm_eps,
    },
    head: tied ? 'optional' : 'required',
    tied,
    ignored: [/\.rotary_emb\.inv_freq$/],
  };
}

/** Llama 3's scaling as converters write it: one factor for each frequency, which divides it. */
const ropeFactors = 'rope_freqs.weight';

/** From GGUF metadata in the words of Llama. */
export function ggufShape(facts: GgufFacts, ropeKind: RopeSpec['kind']): DecoderShape {
  const { keys, embeddingRows } = facts;
  const hiddenSize = keys.count('embedding_length');
  const heads = keys.count('attention.head_count');
  const headDim = keys.count('attention.key_length', heads > 0 ? hiddenSize / heads : 0);
  if (keys.count('attention.value_length', headDim) !== headDim) {
    throw unsupported(keys.prefix, 'values of another size than keys');
  }
  const kvHeads = keys.count('attention.head_count_kv', heads);
  return {
    attention: { heads, kvHeads, headDim, rope: 0 },
    feedForward: { activation: 'silu', gated: true, size: keys.count('feed_forward_length') },
    rope: { kind: ropeKind, frequencies: () => ggufFrequencies(facts, headDim) },
    layers: keys.count('block_count'),
    spec: {
      vocabSize: embeddingRows,
      hiddenSize,
      maxPositions: keys.count('context_length'),
      norm: 'rms',
      normEps: keys.number('attention.layer_norm_rms_epsilon', 1e-5),
    },
    head: 'optional',
    ignored: [/^rope_freqs\.weight$/],
  };
}

function ggufFrequencies({ keys, tensor }: GgufFacts, headDim: number): Float32Array {
  const theta = keys.number('rope.freq_base', 10000);
  if (theta <= 0) throw unsupported(keys.prefix, `a rotary base of ${theta}`);
  if (keys.count('rope.dimension_count', headDim) !== headDim) {
    throw unsupported(keys.prefix, 'a partial rotary embedding');
  }
  const kind = keys.text('rope.scaling.type') ?? 'none';
  const factor = keys.number('rope.scaling.factor', keys.number('rope.scale_linear', 1));
  const linear = kind === 'linear' || (kind === 'none' && factor !== 1);
  const scaling = linear ? { rope_type: 'linear', factor } : kind === 'none' ? null : { rope_type: kind };
  return scaledByTensor(ropeFrequencies(theta, headDim, scaling), ropeFactors, tensor(ropeFactors));
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
  if (size === null) return undefined;
  return { size, isIn: types ? (layer) => layerTypes.get(types[layer]!)! : isIn };
}

const upperSchema = v.looseObject({
  use_sliding_window: v.optional(v.boolean(), false),
  /** Not null, as in the reference. */
  max_window_layers: v.optional(v.pipe(v.number(), v.safeInteger()), 28),
});

/** Where `use_sliding_window` says so, the layers from `max_window_layers` on, unless there are `layer_types`. */
export function upperWindowsOf(config: DecoderConfig): Windows | undefined {
  const { use_sliding_window: used, max_window_layers: full } = parseConfig(upperSchema, config);
  const windows = windowsOf(config, (layer) => layer >= full);
  return used ? windows : undefined;
}

/** The spec of a decoder whose layers are all alike, but for those of `windows`. */
export function decoderSpec(
  { attention, feedForward, rope, layers, spec }: DecoderShape,
  windows?: Windows,
): ModelSpec {
  // Sizes are checked before anything is made as often as a configuration says.
  checkSize('layers', layers);
  const windowed = Array.from({ length: layers }, (_, layer) => windows?.isIn(layer) ?? false);
  const kinds = [...new Set(windowed)];
  const made: ModelSpec = {
    ...spec,
    ropes: [],
    attentions: kinds.map((one) => (one ? { ...attention, window: windows!.size } : attention)),
    feedForwards: [feedForward],
    stack: {
      residual: 'pre',
      layers: windowed.map((one) => ({ attention: kinds.indexOf(one), feedForward: 0 })),
    },
  };
  checkSpec(made);
  made.ropes = [{ kind: rope.kind, inverseFrequencies: [...rope.frequencies()] }];
  return made;
}

/**
 * What the graph needs to know of an architecture: kinds of rotary embeddings, attentions and feed-forwards, and a stack of
 * layers that names them by index. Stated once here and once in C++ (native/model/model_spec.h); it crosses the border, and
 * lies in the INT8 form of a model, as the JSON that `specToJson` writes. What is absent has the default that its field names.
 */
import * as v from 'valibot';
import { count, finite, index, parseConfig, positive } from './config-schema.js';

const ropeSchema = v.strictObject({
  /** 'half' rotates (i, i + dim/2) as Hugging Face stores it; 'interleaved' rotates (2i, 2i + 1) as GGUF and llama2.c do. */
  kind: v.picklist(['half', 'interleaved']),
  /** [rotated dimensions / 2], float32 values as the reference rounds them; scaling variants are already in them. */
  inverseFrequencies: v.pipe(v.array(finite), v.minLength(1)),
  /** Multiplies cosine and sine (the attention factor of YaRN and LongRoPE). Default 1. */
  scale: v.optional(positive),
  /** LongRoPE: the frequencies of a model that is loaded for more than `beyond` positions. Default: the same. */
  long: v.optional(
    v.strictObject({ beyond: count, inverseFrequencies: v.pipe(v.array(finite), v.minLength(1)) }),
  ),
});

const scoreBiasSchema = v.variant('kind', [
  /** slope * -|distance|, one slope for each head (ALiBi). */
  v.strictObject({ kind: v.literal('alibi'), slopes: v.array(finite) }),
  /** A learned value for each head and bucket of distances (T5). */
  v.strictObject({
    kind: v.literal('buckets'),
    buckets: count,
    maxDistance: count,
    bidirectional: v.boolean(),
  }),
]);

const attentionSchema = v.strictObject({
  heads: count,
  kvHeads: count,
  headDim: count,
  /** Multiplies q.k. Default 1 / sqrt(headDim). */
  scale: v.optional(positive),
  /** Index into `ropes`. Default: no rotary embedding. */
  rope: v.optional(index),
  /** A query sees keys less than `window` positions away, to both sides where it is not causal. Default: all. */
  window: v.optional(count),
  /** false: tokens see later ones too. A sequence then comes in one step, whole. Default true. */
  causal: v.optional(v.boolean()),
  /** RMS norm of queries and keys, with a weight for a head or for the whole row. Default none. */
  headNorm: v.optional(
    v.strictObject({ kind: v.picklist(['per_head', 'full_row']), afterRope: v.optional(v.boolean()) }),
  ),
  scoreBias: v.optional(scoreBiasSchema),
  /** score = cap * tanh(score / cap). Default none. */
  softCap: v.optional(positive),
  /** A learned logit for each head in the denominator of the softmax. Default false. */
  sinks: v.optional(v.boolean()),
  /** attended *= sigmoid(gate), the gate a linear of what queries are made of. Default false. */
  outputGate: v.optional(v.boolean()),
  /** Queries times 1 + beta * log(1 + floor(position / positions)). Default none. */
  queryScale: v.optional(v.strictObject({ beta: positive, positions: count })),
});

/** In the place of an attention: what a layer remembers of a sequence has one size, however long that is. */
const stateSchema = v.variant('kind', [
  /** c * conv(b * x), of three linears of the row: a depthwise convolution over the last `taps` rows. */
  v.strictObject({ kind: v.literal('short_conv'), taps: count, channels: count }),
  /** The gated delta rule with heads, behind a convolution of q, k and v over the last `taps` rows. */
  v.strictObject({
    kind: v.literal('delta_net'),
    taps: count,
    keyHeads: count,
    valueHeads: count,
    keyDim: count,
    valueDim: count,
    /** Value head h reads key head h % keyHeads instead of floor(h * keyHeads / valueHeads). Default false. */
    tiled: v.optional(v.boolean()),
  }),
]);

const expertsSchema = v.strictObject({
  count,
  /** Experts of each row. */
  used: count,
  /** Scores of all experts, or the softmax over those used alone. */
  score: v.picklist(['softmax', 'sigmoid', 'softmax_of_used']),
  /** A learned bias joins the scores for the choice alone. Default false. */
  selectionBias: v.optional(v.boolean()),
  /** The choice is among the best `usedGroups` of `groups` groups. Default 1 of 1. */
  groups: v.optional(count),
  usedGroups: v.optional(count),
  /** What a group is worth: its largest score, or the sum of its two largest. Default 'sum_of_two'. */
  groupScore: v.optional(v.picklist(['largest', 'sum_of_two'])),
  /** The weights of those used are divided by max(their sum + sumAdded, sumLeast). Default false; 0 and 0. */
  renormalize: v.optional(v.boolean()),
  sumAdded: v.optional(v.pipe(finite, v.minValue(0))),
  sumLeast: v.optional(v.pipe(finite, v.minValue(0))),
  /** Multiplies the weights. Default 1. */
  scale: v.optional(positive),
  /** Size of an expert that every row uses. Default none. */
  sharedSize: v.optional(count),
  /** Its output times sigmoid(gate . x). Default false. */
  sharedGate: v.optional(v.boolean()),
});

const feedForwardSchema = v.strictObject({
  /** 'clamped_swiglu': (u + 1) g sigmoid(alpha g), g = min(gate, limit), u = up within +-limit. */
  activation: v.picklist(['silu', 'relu', 'relu2', 'quick_gelu', 'gelu_tanh', 'gelu_erf', 'clamped_swiglu']),
  /** Of 'clamped_swiglu'. Default 1.702 and 7. */
  activationAlpha: v.optional(finite),
  activationLimit: v.optional(v.pipe(finite, v.minValue(0))),
  /** activation(gate(x)) * up(x), else activation(up(x)). Default false. */
  gated: v.optional(v.boolean()),
  /** Of each expert, if there are any. */
  size: count,
  experts: v.optional(expertsSchema),
});

const embeddingSchema = v.strictObject({
  /** Multiplies the embedding. Default 1. */
  scale: v.optional(finite),
  /** Rows of a table of learned positions. Default none. */
  positions: v.optional(count),
  /** Row of position 0. Default 0. */
  positionOffset: v.optional(index),
  /** Rows of a table of token types; a step says each token's, else it is the first. Default none. */
  types: v.optional(count),
  /** Default false. */
  norm: v.optional(v.boolean()),
});

const stackSchema = v.strictObject({
  /**
   * How a layer f joins the residual stream x: 'pre' x += f(norm(x)); 'post' x += norm(f(x)); 'sandwich' x += norm(f(norm(x)));
   * 'parallel' x += attention(norm(x)) + feedForward(norm(x)); 'add_norm' x = norm(x + f(x)).
   */
  residual: v.picklist(['pre', 'post', 'sandwich', 'parallel', 'add_norm']),
  /** 'parallel': both read the same norm. Default false. */
  sharedNorm: v.optional(v.boolean()),
  /** 'pre': the first attention reads a norm of x; false: x as the embedding made it (ModernBERT). Default true. */
  firstNorm: v.optional(v.boolean()),
  /** Each has an attention or a state. */
  layers: v.array(
    v.strictObject({ attention: v.optional(index), state: v.optional(index), feedForward: index }),
  ),
});

export const modelSpecSchema = v.strictObject({
  vocabSize: count,
  hiddenSize: count,
  /** Longest position the model was made for. */
  maxPositions: count,
  ropes: v.optional(v.array(ropeSchema)),
  attentions: v.array(attentionSchema),
  states: v.optional(v.array(stateSchema)),
  feedForwards: v.array(feedForwardSchema),
  embedding: v.optional(embeddingSchema),
  stack: stackSchema,
  norm: v.picklist(['rms', 'layer']),
  normEps: v.pipe(finite, v.minValue(0)),
  /** Before the head; false: hidden states are those of the last layer. Default true. */
  finalNorm: v.optional(v.boolean()),
  /** Multiplies what each layer adds. Default 1. */
  residualScale: v.optional(finite),
  /** Multiplies logits, before the soft cap. Default 1. */
  logitsScale: v.optional(finite),
  /** logits = cap * tanh(logits / cap). Default none. */
  logitsSoftCap: v.optional(positive),
  /** 'none': the model gives hidden states alone. Default 'logits'. */
  head: v.optional(v.picklist(['logits', 'none'])),
});

export type ModelSpec = v.InferOutput<typeof modelSpecSchema>;
export type RopeSpec = v.InferOutput<typeof ropeSchema>;
export type AttentionSpec = v.InferOutput<typeof attentionSchema>;
export type StateSpec = v.InferOutput<typeof stateSchema>;
export type DeltaNetSpec = Extract<StateSpec, { kind: 'delta_net' }>;
export type FeedForwardSpec = v.InferOutput<typeof feedForwardSchema>;
export type ExpertsSpec = v.InferOutput<typeof expertsSchema>;

/** An encoder gives hidden states alone. */
export function modelKind({ head }: ModelSpec): 'decoder' | 'encoder' {
  return head === 'none' ? 'encoder' : 'decoder';
}

/** Whether tokens see later ones in any layer: a sequence then comes in one step, whole. */
export function seesAhead(spec: ModelSpec): boolean {
  return spec.attentions.some(({ causal }) => causal === false);
}

/** float32 values are doubles exactly, and JSON keeps doubles exactly. */
export function specToJson(spec: ModelSpec): string {
  return JSON.stringify(spec);
}

/** Throws MODEL_FORMAT with every field that is wrong, and for fields that are not known. */
export function parseSpec(value: unknown, where: string): ModelSpec {
  return parseConfig(modelSpecSchema, value, where);
}

export function layerCount(spec: ModelSpec): number {
  return spec.stack.layers.length;
}

/** Undefined of a layer that has a state in its place. */
export function attentionOf(spec: ModelSpec, layer: number): AttentionSpec | undefined {
  return spec.attentions[spec.stack.layers[layer]!.attention ?? -1];
}

export function stateOf(spec: ModelSpec, layer: number): StateSpec | undefined {
  return spec.states?.[spec.stack.layers[layer]!.state ?? -1];
}

/** Of the first layer that has one. */
export function firstAttention(spec: ModelSpec): AttentionSpec | undefined {
  return spec.attentions[spec.stack.layers.find(({ attention }) => attention !== undefined)?.attention ?? -1];
}

export function feedForwardOf(spec: ModelSpec, layer: number): FeedForwardSpec {
  return spec.feedForwards[spec.stack.layers[layer]!.feedForward]!;
}

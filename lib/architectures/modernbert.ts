/**
 * ModernBERT: norms before the parts, but for the first attention, rotary positions, gated GELU, no biases. Two layers of
 * three see a window to both sides and have a rotary base of their own.
 */
import * as v from 'valibot';
import { count, finite, parseConfig, positive } from '../config-schema.js';
import { activationOf } from './activations.js';
import { type DecoderShape, ggufShape, layerKinds, type Windows } from './decoder.js';
import { asEncoder, encoderOf } from './encoder.js';
import type { Configured, Family, Presence } from './family.js';
import { layerTypesOf } from './layer-types.js';
import {
  ggufRope,
  ggufWindowRope,
  hfRope,
  type Rope,
  ropeConfigEntries,
  ropeScalingOf,
} from './rope-config.js';
import { fusedQkv, gateUpRows, qkvRows } from './views.js';

const configSchema = v.looseObject({
  ...ropeConfigEntries,
  vocab_size: count,
  hidden_size: count,
  intermediate_size: count,
  num_hidden_layers: count,
  num_attention_heads: count,
  hidden_activation: v.optional(v.string(), 'gelu'),
  max_position_embeddings: v.optional(count, 8192),
  norm_eps: v.optional(finite, 1e-5),
  norm_bias: v.optional(v.boolean(), false),
  attention_bias: v.optional(v.boolean(), false),
  mlp_bias: v.optional(v.boolean(), false),
  layer_types: v.nullish(v.array(v.string())),
  global_attn_every_n_layers: v.optional(count, 3),
  local_attention: v.optional(count, 128),
  global_rope_theta: v.optional(positive, 160000),
  local_rope_theta: v.optional(positive, 10000),
});

/** A token sees so many to both sides, half of `all`, and itself. */
const windowOf = (all: number): number => Math.floor(all / 2) + 1;

/** What both formats have. */
function modernBert(
  shape: DecoderShape,
  { windows, local, global }: { windows: Windows | undefined; local: Rope; global: Rope },
  { bias, normBias }: { bias: Configured['bias']; normBias: Presence },
): Configured {
  const made: DecoderShape = {
    ...shape,
    // GGUF files say the epsilon of an RMS norm.
    spec: { ...shape.spec, norm: 'layer', embedding: { norm: true } },
    stack: { residual: 'pre', firstNorm: false },
  };
  const kindOf = layerKinds(windows, { rope: local }, { rope: global });
  return { ...encoderOf(asEncoder(made), { bias, kindOf }), normBias };
}

export const modernbert: Family = {
  modelType: 'modernbert',
  ggufArchitecture: 'modern-bert',
  layers: ['layers.N.', 'blk.N.'],
  prefixes: ['', 'model.'],
  names: {
    'embed.tokens': ['embeddings.tok_embeddings', 'token_embd'],
    'embed.norm': ['embeddings.norm', 'token_embd_norm'],
    attn_norm: ['attn_norm', 'attn_norm'],
    ...fusedQkv(qkvRows, 'attn.Wqkv'),
    o: ['attn.Wo', 'attn_output'],
    ffn_norm: ['mlp_norm', 'ffn_norm'],
    gate: [gateUpRows('mlp.Wi', 0), gateUpRows('ffn_up', 0)],
    up: [gateUpRows('mlp.Wi', 1), gateUpRows('ffn_up', 1)],
    down: ['mlp.Wo', 'ffn_down'],
    final_norm: ['final_norm', 'output_norm'],
  },
  fromConfig: (raw) => {
    const config = parseConfig(configSchema, raw);
    const { num_attention_heads: heads, hidden_size: hiddenSize } = config;
    const headDim = hiddenSize / heads;
    const types = ['full_attention', 'sliding_attention'] as const;
    const typeOf = layerTypesOf('modernbert', config, types, (layer) =>
      layer % config.global_attn_every_n_layers === 0 ? 'full_attention' : 'sliding_attention',
    );
    const ropeOf = (type: (typeof types)[number], theta: number) =>
      hfRope('modernbert', config, headDim, { defaults: { theta }, scaling: ropeScalingOf(config, type) });
    const shape: DecoderShape = {
      attention: { heads, kvHeads: heads, headDim },
      feedForward: {
        activation: activationOf('modernbert', config.hidden_activation),
        gated: true,
        size: config.intermediate_size,
      },
      rope: null,
      layers: config.num_hidden_layers,
      spec: {
        vocabSize: config.vocab_size,
        hiddenSize,
        maxPositions: config.max_position_embeddings,
        norm: 'layer',
        normEps: config.norm_eps,
      },
      stack: { residual: 'pre' },
      head: 'none',
      ignored: [/^(head|decoder)\./],
    };
    const attention = ['q', 'k', 'v', 'o'];
    return modernBert(
      shape,
      {
        windows: {
          size: windowOf(config.local_attention),
          isIn: (layer) => typeOf(layer) === 'sliding_attention',
        },
        local: ropeOf('sliding_attention', config.local_rope_theta),
        global: ropeOf('full_attention', config.global_rope_theta),
      },
      {
        bias: (part) =>
          (attention.includes(part) ? config.attention_bias : config.mlp_bias) ? 'required' : 'none',
        normBias: config.norm_bias ? 'required' : 'none',
      },
    );
  },
  fromGguf: (facts) => {
    const { keys } = facts;
    const plain = ggufShape(facts, 'half');
    const activation = activationOf('modern-bert', keys.text('hidden_activation') ?? 'gelu');
    const size = keys.count('attention.sliding_window', 0);
    const every = keys.count('attention.sliding_window_pattern', 3);
    const { headDim } = plain.attention;
    return modernBert(
      { ...plain, feedForward: { ...plain.feedForward, activation } },
      {
        // Here the first of each few has no window.
        windows: size === 0 ? undefined : { size: windowOf(size), isIn: (layer) => layer % every !== 0 },
        local: ggufWindowRope(facts, 'half', headDim, 10000),
        global: ggufRope(facts, 'half', headDim),
      },
      { bias: 'optional', normBias: 'optional' },
    );
  },
};

/** LFM2: gated short convolutions in most layers, Qwen3's attention in the others. */
import * as v from 'valibot';
import { count, finite, index, parseConfig, positive } from '../config-schema.js';
import type { StateSpec } from '../spec.js';
import { decoderSpec, ggufShape, hfShape } from './decoder.js';
import type { Family, Names, Presence } from './family.js';
import { llamaLayout, llamaNames } from './llama.js';
import { layerTypesOf } from './layer-types.js';
import { qwen3Names, withHeadNorm } from './qwen3.js';
import { byMixer, convolutionTaps } from './views.js';

const schema = v.looseObject({
  hidden_size: count,
  intermediate_size: v.optional(count),
  /** Its older name. */
  block_ff_dim: v.nullish(count),
  block_auto_adjust_ff_dim: v.optional(v.boolean(), true),
  block_ffn_dim_multiplier: v.optional(v.nullable(positive), 1),
  block_multiple_of: v.optional(count, 256),
  num_hidden_layers: count,
  layer_types: v.nullish(v.array(v.string())),
  full_attn_idxs: v.nullish(v.array(index)),
  norm_eps: v.optional(finite, 1e-5),
  tie_embedding: v.nullish(v.boolean()),
  conv_L_cache: v.optional(count, 3),
  conv_bias: v.optional(v.boolean(), false),
});

/** As the reference rounds it. */
function ffnSize(config: v.InferOutput<typeof schema>): number | undefined {
  const size = config.block_ff_dim ?? config.intermediate_size;
  if (size === undefined || !config.block_auto_adjust_ff_dim) return size;
  const part = Math.trunc((2 * size) / 3);
  const { block_ffn_dim_multiplier: factor, block_multiple_of: unit } = config;
  return factor === null ? part : unit * Math.ceil(Math.trunc(factor * part) / unit);
}

const names: Names = {
  ...llamaNames,
  ...qwen3Names,
  attn_norm: ['operator_norm', 'attn_norm'],
  o: [byMixer('self_attn.out_proj', 'conv.out_proj'), byMixer('attn_output', 'shortconv.out_proj')],
  q_norm: ['self_attn.q_layernorm', 'attn_q_norm'],
  k_norm: ['self_attn.k_layernorm', 'attn_k_norm'],
  conv_in: ['conv.in_proj', 'shortconv.in_proj'],
  conv: [convolutionTaps('conv.conv'), convolutionTaps('shortconv.conv')],
  ffn_norm: ['ffn_norm', 'ffn_norm'],
  gate: ['feed_forward.w1', 'ffn_gate'],
  up: ['feed_forward.w3', 'ffn_up'],
  down: ['feed_forward.w2', 'ffn_down'],
  final_norm: ['embedding_norm', 'token_embd_norm'],
};

/** Attention's output linear has none. */
function convBias(part: string): Presence {
  if (part === 'o') return 'optional';
  return part.startsWith('conv') ? 'required' : 'none';
}

export const lfm2: Family = {
  modelType: 'lfm2',
  ggufArchitecture: 'lfm2',
  ...llamaLayout,
  names,
  fromConfig: (raw) => {
    const config = parseConfig(schema, raw);
    const own = {
      ...config,
      intermediate_size: ffnSize(config),
      rms_norm_eps: config.norm_eps,
      ...(config.tie_embedding == null ? {} : { tie_word_embeddings: config.tie_embedding }),
    };
    const shape = withHeadNorm(hfShape('lfm2', own, { theta: 1e6, tied: true }));
    const full = config.full_attn_idxs ?? Array.from({ length: config.num_hidden_layers }, (_, i) => i);
    const types = layerTypesOf('lfm2', config, ['conv', 'full_attention'], (layer) =>
      full.includes(layer) ? 'full_attention' : 'conv',
    );
    const state: StateSpec = { kind: 'short_conv', taps: config.conv_L_cache, channels: config.hidden_size };
    const spec = decoderSpec(shape, (layer) => (types(layer) === 'conv' ? { state } : {}));
    return { ...shape, spec, bias: config.conv_bias ? convBias : 'none' };
  },
  /** A layer without key-value heads has a convolution. */
  fromGguf: (facts) => {
    const { keys } = facts;
    const shape = withHeadNorm(ggufShape(facts, 'half'));
    const kvHeads = keys.counts('attention.head_count_kv') ?? [];
    const channels = shape.spec.hiddenSize;
    const state: StateSpec = { kind: 'short_conv', taps: keys.count('shortconv.l_cache'), channels };
    return { ...shape, spec: decoderSpec(shape, (layer) => (kvHeads[layer] === 0 ? { state } : {})) };
  },
};

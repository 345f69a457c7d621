/**
 * GTE v1.5 and multilingual: BERT with rotary positions and gated GELU. Its gate and up have no biases. `gte` is the name of
 * the reference, `new` that of the published files, whose rotary embedding has a scaling of its own.
 */
import * as v from 'valibot';
import { parseConfig, unsupported } from '../config-schema.js';
import { encoderOf, hfEncoder, withTypes } from './encoder.js';
import type { Family } from './family.js';
import type { RopeScaling } from './rope.js';
import { hfRope, ropeConfigEntries, ropeScalingOf } from './rope-config.js';
import { gateUpRows, qkvRows } from './views.js';

const ropeSchema = v.looseObject({
  ...ropeConfigEntries,
  layer_norm_type: v.optional(v.string(), 'layer_norm'),
  logn_attention_scale: v.optional(v.boolean(), false),
});
type GteConfig = v.InferOutput<typeof ropeSchema>;

const theta = 160000;

/** 'ntk', as the published code has it: a base times the factor, and every frequency over its power of 2 / dimensions. */
function scalingOf(config: GteConfig, headDim: number): RopeScaling {
  const scaling = ropeScalingOf(config);
  if ((scaling.rope_type ?? scaling.type) !== 'ntk') return scaling;
  const { factor = 1, mixed_b: mixed } = scaling as RopeScaling & { mixed_b?: unknown };
  if (factor === null || mixed != null) throw unsupported('new', 'mixed NTK scaling (mixed_b)');
  return {
    rope_type: 'linear',
    factor: factor ** (2 / headDim),
    rope_theta: (scaling.rope_theta ?? config.rope_theta ?? theta) * factor,
  };
}

const gteFamily = (modelType: string): Family => ({
  modelType,
  layers: ['encoder.layer.N.', 'blk.N.'],
  prefixes: ['', 'new.'],
  names: {
    'embed.tokens': ['embeddings.word_embeddings', undefined],
    'embed.types': ['embeddings.token_type_embeddings', undefined],
    'embed.norm': ['embeddings.LayerNorm', undefined],
    q: [qkvRows('attention.qkv_proj', 0), undefined],
    k: [qkvRows('attention.qkv_proj', 1), undefined],
    v: [qkvRows('attention.qkv_proj', 2), undefined],
    o: ['attention.o_proj', undefined],
    attn_norm: ['attn_ln', undefined],
    up: [gateUpRows('mlp.up_gate_proj', 0), undefined],
    gate: [gateUpRows('mlp.up_gate_proj', 1), undefined],
    down: ['mlp.down_proj', undefined],
    ffn_norm: ['mlp_ln', undefined],
  },
  fromConfig: (raw) => {
    const plain = hfEncoder(modelType, { max_position_embeddings: 8192, ...(raw as object) });
    const config = parseConfig(ropeSchema, raw);
    const { layer_norm_type: norm, logn_attention_scale: scalesQueries } = config;
    if (norm !== 'layer_norm' || scalesQueries) {
      throw unsupported(modelType, `norms of the type "${norm}", or logn_attention_scale`);
    }
    const rope = hfRope(modelType, config, plain.attention.headDim, {
      defaults: { theta },
      scaling: scalingOf(config, plain.attention.headDim),
    });
    const shape = { ...plain, rope, feedForward: { ...plain.feedForward, gated: true } };
    const bias = (part: string) => (part === 'gate' || part === 'up' ? 'none' : 'required');
    return encoderOf(withTypes(shape, plain.config.type_vocab_size ?? 1), { bias });
  },
});

export const gte = gteFamily('gte');
export const newGte = gteFamily('new');

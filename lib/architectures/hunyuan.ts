/** Hunyuan dense: Llama with norms of heads after the rotary embedding, whose base a fixed alpha enlarges. */
import { decoderSpec, type DecoderShape, ggufShape, hfShape } from './decoder.js';
import type { Family, Names } from './family.js';
import { llamaBias, llamaLayout, llamaNames } from './llama.js';

export const hunyuanNames: Names = {
  ...llamaNames,
  q_norm: ['self_attn.query_layernorm', 'attn_q_norm'],
  k_norm: ['self_attn.key_layernorm', 'attn_k_norm'],
};

export function withNormAfterRope<Shape extends DecoderShape>(shape: Shape): Shape {
  const headNorm = { kind: 'per_head', afterRope: true } as const;
  return { ...shape, attention: { ...shape.attention, headNorm } };
}

export const hunyuan: Family = {
  modelType: 'hunyuan_v1_dense',
  ggufArchitecture: 'hunyuan-dense',
  ...llamaLayout,
  names: hunyuanNames,
  fromConfig: (raw) => {
    const shape = withNormAfterRope(hfShape('hunyuan_v1_dense', raw, { normEps: 1e-5 }));
    return { ...shape, spec: decoderSpec(shape), bias: llamaBias({ ...shape.config, mlp_bias: false }) };
  },
  fromGguf: (facts) => {
    const shape = withNormAfterRope(ggufShape(facts, 'half'));
    return { ...shape, spec: decoderSpec(shape), bias: 'optional' };
  },
};

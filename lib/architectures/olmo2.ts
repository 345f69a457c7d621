/** OLMo 2: norms after attention and feed-forward instead of before, and of whole rows of queries and keys. */
import { decoderSpec, type DecoderShape, ggufShape, ggufWindows, hfShape, layerKinds } from './decoder.js';
import type { Family, Names } from './family.js';
import { llamaBias, llamaLayout } from './llama.js';
import { qwen3Names } from './qwen3.js';
import { ggufWindowRope } from './rope-config.js';

/** Of norms of queries and keys, and of those after attention and feed-forward. */
export const normsAfterNames: Names = {
  ...qwen3Names,
  attn_norm: ['post_attention_layernorm', 'post_attention_norm'],
  ffn_norm: ['post_feedforward_layernorm', 'post_ffw_norm'],
};

export function asOlmo<Shape extends DecoderShape>(shape: Shape): Shape {
  return {
    ...shape,
    attention: { ...shape.attention, headNorm: { kind: 'full_row' } },
    stack: { residual: 'post' },
  };
}

export const olmo2: Family = {
  modelType: 'olmo2',
  ggufArchitecture: 'olmo2',
  ...llamaLayout,
  names: normsAfterNames,
  fromConfig: (raw) => {
    const shape = asOlmo(hfShape('olmo2', raw, { normEps: 1e-5 }));
    return { ...shape, spec: decoderSpec(shape), bias: llamaBias(shape.config) };
  },
  /** Of OLMo 3 too, whose layers with a window rotate without scaling. */
  fromGguf: (facts) => {
    const shape = asOlmo(ggufShape(facts, 'half'));
    const rope = ggufWindowRope(facts, 'half', shape.attention.headDim);
    return {
      ...shape,
      spec: decoderSpec(shape, layerKinds(ggufWindows(facts, 4), { rope })),
      bias: 'optional',
    };
  },
};

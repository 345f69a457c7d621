/** GLM-4: norms before and after, half of each head rotates in pairs of neighbours, gate and up lie as one. */
import { unsupported } from '../config-schema.js';
import { biasesOf, decoderSpec, type DecoderShape, ggufShape, hfShape } from './decoder.js';
import type { Family, Names } from './family.js';
import { llamaLayout, llamaNames } from './llama.js';
import { gateUpRows } from './views.js';

const names: Names = {
  ...llamaNames,
  attn_post_norm: ['post_self_attn_layernorm', 'post_attention_norm'],
  gate: [gateUpRows('mlp.gate_up_proj', 0), gateUpRows('ffn_up', 0)],
  up: [gateUpRows('mlp.gate_up_proj', 1), gateUpRows('ffn_up', 1)],
  ffn_post_norm: ['post_mlp_layernorm', 'post_ffw_norm'],
};

function sandwiched<Shape extends DecoderShape>(shape: Shape): Shape {
  return { ...shape, stack: { residual: 'sandwich' } };
}

export const glm4: Family = {
  modelType: 'glm4',
  ggufArchitecture: 'glm4',
  ...llamaLayout,
  names,
  fromConfig: (raw) => {
    const shape = sandwiched(
      hfShape('glm4', raw, { kind: 'interleaved', partial: 0.5, headDim: 128, normEps: 1.5625e-7 }),
    );
    const biased = shape.config.attention_bias ?? true;
    return { ...shape, spec: decoderSpec(shape), bias: biasesOf(...(biased ? ['q', 'k', 'v'] : [])) };
  },
  fromGguf: (facts) => {
    if (facts.keys.has('rope.dimension_sections')) throw unsupported('glm4', 'rotary sections of images');
    const shape = sandwiched(ggufShape(facts, 'interleaved'));
    return { ...shape, spec: decoderSpec(shape), bias: 'optional' };
  },
};

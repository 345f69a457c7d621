/** Qwen3: Llama with a norm of each head's query and key, and heads of any size. */
import {
  biasesOf,
  decoderSpec,
  type DecoderShape,
  ggufShape,
  hfShape,
  layerKinds,
  upperWindowsOf,
} from './decoder.js';
import type { Family, Names } from './family.js';
import { llamaLayout, llamaNames } from './llama.js';

export const qwen3Names: Names = {
  ...llamaNames,
  q_norm: ['self_attn.q_norm', 'attn_q_norm'],
  k_norm: ['self_attn.k_norm', 'attn_k_norm'],
};

export function withHeadNorm<Shape extends DecoderShape>(shape: Shape): Shape {
  return { ...shape, attention: { ...shape.attention, headNorm: { kind: 'per_head' } } };
}

export const qwen3: Family = {
  modelType: 'qwen3',
  ggufArchitecture: 'qwen3',
  ...llamaLayout,
  names: qwen3Names,
  fromConfig: (raw) => {
    const shape = withHeadNorm(hfShape('qwen3', raw, { headDim: 128 }));
    const { attention_bias: bias } = shape.config;
    const attentionBias = biasesOf(...(bias ? ['q', 'k', 'v', 'o'] : []));
    return {
      ...shape,
      spec: decoderSpec(shape, layerKinds(upperWindowsOf(shape.config))),
      bias: attentionBias,
    };
  },
  fromGguf: (facts) => {
    const shape = withHeadNorm(ggufShape(facts, 'half'));
    return { ...shape, spec: decoderSpec(shape), bias: 'optional' };
  },
};

/** Gemma: Llama with a scaled embedding, gated GELU, and norms whose weights are stored less one. */
import { unsupported } from '../config-schema.js';
import {
  decoderSpec,
  type DecoderShape,
  ggufShape,
  type HfDefaults,
  type HfShape,
  hfShape,
} from './decoder.js';
import { allowOnly } from './experts.js';
import type { Family, Names } from './family.js';
import { llamaBias, llamaLayout, llamaNames } from './llama.js';
import { lessOne } from './views.js';

export const gemmaNames: Names = {
  ...llamaNames,
  attn_norm: [lessOne('input_layernorm'), 'attn_norm'],
  ffn_norm: [lessOne('post_attention_layernorm'), 'ffn_norm'],
  final_norm: [lessOne('norm'), 'output_norm'],
};

/** What all of them have. */
export function asGemma<Shape extends DecoderShape>(shape: Shape): Shape {
  return {
    ...shape,
    feedForward: { ...shape.feedForward, activation: 'gelu_tanh' },
    spec: { ...shape.spec, embedding: { scale: Math.sqrt(shape.spec.hiddenSize) } },
  };
}

/** `bothSides`: the family may see a text whole (use_bidirectional_attention). */
export function gemmaShape(
  family: string,
  raw: unknown,
  { bothSides = false, ...defaults }: HfDefaults & { bothSides?: boolean } = {},
): HfShape {
  const shape = hfShape(family, raw, {
    headDim: 256,
    tied: true,
    activation: 'gelu_pytorch_tanh',
    ...defaults,
  });
  if (!bothSides) allowOnly(family, shape.config, { use_bidirectional_attention: [false] });
  // Older files say "gelu" and mean this one.
  if (!/^gelu/.test(shape.feedForward.activation)) {
    throw unsupported(family, `the activation "${shape.feedForward.activation}"`);
  }
  return asGemma(shape);
}

export const gemma: Family = {
  modelType: 'gemma',
  ggufArchitecture: 'gemma',
  ...llamaLayout,
  names: gemmaNames,
  fromConfig: (raw) => {
    const shape = gemmaShape('gemma', raw);
    return { ...shape, spec: decoderSpec(shape), bias: llamaBias(shape.config) };
  },
  fromGguf: (facts) => {
    const shape = asGemma(ggufShape(facts, 'half'));
    return { ...shape, spec: decoderSpec(shape) };
  },
};

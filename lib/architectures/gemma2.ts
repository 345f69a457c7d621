/** Gemma 2: Gemma with norms before and after, soft caps, a scale of its own, and windows in every other layer. */
import { parseConfig } from '../config-schema.js';
import { decoderSpec, ggufShape, ggufWindows, layerKinds, windowsOf } from './decoder.js';
import type { Family, Names } from './family.js';
import { asGemma, gemmaNames, gemmaShape } from './gemma.js';
import { capsSchema, ggufScale, withCaps } from './gemma-caps.js';
import { llamaBias, llamaLayout } from './llama.js';
import { lessOne } from './views.js';

export const gemma2Names: Names = {
  ...gemmaNames,
  attn_post_norm: [lessOne('post_attention_layernorm'), 'post_attention_norm'],
  ffn_norm: [lessOne('pre_feedforward_layernorm'), 'ffn_norm'],
  ffn_post_norm: [lessOne('post_feedforward_layernorm'), 'post_ffw_norm'],
};

export const gemma2: Family = {
  modelType: 'gemma2',
  ggufArchitecture: 'gemma2',
  ...llamaLayout,
  names: gemma2Names,
  fromConfig: (raw) => {
    const caps = parseConfig(capsSchema(50, 30), raw);
    const shape = withCaps(gemmaShape('gemma2', raw), {
      scale: caps.query_pre_attn_scalar ** -0.5,
      scores: caps.attn_logit_softcapping,
      logits: caps.final_logit_softcapping,
    });
    const windows = windowsOf(shape.config, (layer) => layer % 2 === 0);
    return { ...shape, spec: decoderSpec(shape, layerKinds(windows)), bias: llamaBias(shape.config) };
  },
  fromGguf: (facts) => {
    const plain = asGemma(ggufShape(facts, 'half'));
    const shape = withCaps(plain, {
      scale: ggufScale(facts, plain, 46),
      scores: facts.keys.number('attn_logit_softcapping', 50),
      logits: facts.keys.number('final_logit_softcapping', 30),
    });
    return { ...shape, spec: decoderSpec(shape, layerKinds(ggufWindows(facts, 2))) };
  },
};

/** Phi-1, 1.5 and 2: layer norms, biases everywhere, the head too, plain GELU, attention and feed-forward in parallel behind one norm. */
import * as v from 'valibot';
import { finite, parseConfig, unsupported } from '../config-schema.js';
import { decoderSpec, ggufShape, hfShape } from './decoder.js';
import type { Family, Names } from './family.js';
import { asGptLike } from './gpt-like.js';
import { llamaLayout, llamaNames } from './llama.js';

const names: Names = {
  ...llamaNames,
  o: ['self_attn.dense', 'attn_output'],
  up: ['mlp.fc1', 'ffn_up'],
  down: ['mlp.fc2', 'ffn_down'],
  final_norm: ['final_layernorm', 'output_norm'],
};

const schema = v.looseObject({
  layer_norm_eps: v.optional(finite, 1e-5),
  qk_layernorm: v.optional(v.boolean(), false),
});

const stack = { residual: 'parallel', sharedNorm: true } as const;

export const phi2: Family = {
  modelType: 'phi',
  ggufArchitecture: 'phi2',
  ...llamaLayout,
  names,
  fromConfig: (raw) => {
    const own = parseConfig(schema, raw);
    if (own.qk_layernorm) throw unsupported('phi', 'layer norms of heads (qk_layernorm)');
    const plain = hfShape('phi', raw, { activation: 'gelu_new', partial: 0.5 });
    const shape = asGptLike(plain, { normEps: own.layer_norm_eps, stack });
    return { ...shape, spec: decoderSpec(shape), bias: 'required' };
  },
  fromGguf: (facts) => {
    const shape = asGptLike(ggufShape(facts, 'half'), { activation: 'gelu_tanh', stack });
    return { ...shape, spec: decoderSpec(shape), bias: 'required' };
  },
};

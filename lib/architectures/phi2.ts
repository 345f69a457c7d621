/** Phi-1, 1.5 and 2: layer norms, biases everywhere, the head too, plain GELU, attention and feed-forward in parallel behind one norm. */
import * as v from 'valibot';
import { finite, parseConfig, unsupported } from '../config-schema.js';
import { decoderSpec, type DecoderShape, ggufShape, hfShape } from './decoder.js';
import type { Family, Names } from './family.js';
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

function inParallel<Shape extends DecoderShape>(shape: Shape, normEps: number): Shape {
  return {
    ...shape,
    spec: { ...shape.spec, norm: 'layer', normEps },
    stack: { residual: 'parallel', sharedNorm: true },
  };
}

export const phi2: Family = {
  modelType: 'phi',
  ggufArchitecture: 'phi2',
  ...llamaLayout,
  names,
  fromConfig: (raw) => {
    const own = parseConfig(schema, raw);
    if (own.qk_layernorm) throw unsupported('phi', 'layer norms of heads (qk_layernorm)');
    const plain = hfShape('phi', raw, { activation: 'gelu_new', partial: 0.5 });
    const shape = inParallel(
      { ...plain, feedForward: { ...plain.feedForward, gated: false } },
      own.layer_norm_eps,
    );
    return { ...shape, spec: decoderSpec(shape), bias: 'required' };
  },
  fromGguf: (facts) => {
    const plain = ggufShape(facts, 'half');
    const feedForward = { activation: 'gelu_tanh' as const, size: plain.feedForward.size };
    const shape = inParallel({ ...plain, feedForward }, plain.spec.normEps);
    return { ...shape, spec: decoderSpec(shape), bias: 'required' };
  },
};

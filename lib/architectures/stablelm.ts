/** StableLM: Llama with layer norms, a part of each head rotates; attention and feed-forward may be in parallel. */
import * as v from 'valibot';
import { finite, parseConfig, unsupported } from '../config-schema.js';
import { biasesOf, decoderSpec, type DecoderShape, ggufShape, hfShape } from './decoder.js';
import type { Family } from './family.js';
import { llamaLayout, llamaNames } from './llama.js';

const schema = v.looseObject({
  layer_norm_eps: v.optional(finite, 1e-5),
  use_qkv_bias: v.optional(v.boolean(), false),
  qk_layernorm: v.optional(v.boolean(), false),
  use_parallel_residual: v.optional(v.boolean(), false),
});

function asStableLm<Shape extends DecoderShape>(shape: Shape, normEps: number, parallel: boolean): Shape {
  return {
    ...shape,
    spec: { ...shape.spec, norm: 'layer', normEps },
    stack: parallel ? { residual: 'parallel', sharedNorm: true } : { residual: 'pre' },
  };
}

export const stablelm: Family = {
  modelType: 'stablelm',
  ggufArchitecture: 'stablelm',
  ...llamaLayout,
  names: llamaNames,
  fromConfig: (raw) => {
    const own = parseConfig(schema, raw);
    if (own.qk_layernorm) throw unsupported('stablelm', 'layer norms of heads (qk_layernorm)');
    const plain = hfShape('stablelm', raw, { partial: 0.25 });
    const shape = asStableLm(plain, own.layer_norm_eps, own.use_parallel_residual);
    return {
      ...shape,
      spec: decoderSpec(shape),
      bias: biasesOf(...(own.use_qkv_bias ? ['q', 'k', 'v'] : [])),
    };
  },
  fromGguf: (facts) => {
    const plain = ggufShape(facts, 'half');
    // As llama.cpp, which does not trust the key for it.
    const parallel = facts.tensor('blk.0.ffn_norm.weight') === undefined;
    const shape = asStableLm(plain, plain.spec.normEps, parallel);
    return { ...shape, spec: decoderSpec(shape), bias: 'optional' };
  },
};

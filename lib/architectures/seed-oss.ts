/** Seed-OSS: Llama with biases of queries, keys and values. */
import * as v from 'valibot';
import { parseConfig } from '../config-schema.js';
import { biasesOf, decoderSpec, ggufShape, hfShape } from './decoder.js';
import type { Family, Names } from './family.js';
import { llamaLayout, llamaNames } from './llama.js';

const names: Names = {
  ...llamaNames,
  ffn_norm: ['post_attention_layernorm', 'post_attention_norm'],
};

const schema = v.looseObject({
  attention_bias: v.optional(v.boolean(), true),
  attention_out_bias: v.optional(v.boolean(), false),
  mlp_bias: v.optional(v.boolean(), false),
});

export const seedOss: Family = {
  modelType: 'seed_oss',
  ggufArchitecture: 'seed_oss',
  ...llamaLayout,
  names,
  fromConfig: (raw) => {
    const own = parseConfig(schema, raw);
    const shape = hfShape('seed_oss', raw, { headDim: 128 });
    const bias = biasesOf(
      ...(own.attention_bias ? ['q', 'k', 'v'] : []),
      ...(own.attention_out_bias ? ['o'] : []),
      ...(own.mlp_bias ? ['gate', 'up', 'down'] : []),
    );
    return { ...shape, spec: decoderSpec(shape), bias };
  },
  fromGguf: (facts) => {
    const shape = ggufShape(facts, 'half');
    return { ...shape, spec: decoderSpec(shape), bias: 'optional' };
  },
};

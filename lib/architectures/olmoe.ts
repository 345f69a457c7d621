/** OLMoE: Llama with experts, and norms of whole rows of queries and keys. */
import * as v from 'valibot';
import { count, parseConfig, unsupported } from '../config-schema.js';
import { decoderSpec, type DecoderShape, ggufShape, hfShape } from './decoder.js';
import { allowOnly, ggufExperts, hfExperts, qwenExpertNames, withExperts } from './experts.js';
import type { Family } from './family.js';
import { llamaBias, llamaLayout } from './llama.js';
import { qwen3Names } from './qwen3.js';

const schema = v.looseObject({
  num_experts: count,
  num_experts_per_tok: count,
  norm_topk_prob: v.optional(v.boolean(), false),
});

function withRowNorm<Shape extends DecoderShape>(shape: Shape): Shape {
  return { ...shape, attention: { ...shape.attention, headNorm: { kind: 'full_row' } } };
}

export const olmoe: Family = {
  modelType: 'olmoe',
  ggufArchitecture: 'olmoe',
  ...llamaLayout,
  names: { ...qwen3Names, ...qwenExpertNames },
  fromConfig: (raw) => {
    const c = parseConfig(schema, raw);
    allowOnly('olmoe', c, { clip_qkv: [] });
    const shape = withRowNorm(
      hfExperts('olmoe', hfShape('olmoe', raw, { normEps: 1e-5 }), {
        experts: {
          count: c.num_experts,
          used: c.num_experts_per_tok,
          score: 'softmax',
          renormalize: c.norm_topk_prob,
        },
      }),
    );
    return { ...shape, spec: decoderSpec(shape), bias: llamaBias({ ...shape.config, mlp_bias: false }) };
  },
  fromGguf: (facts) => {
    if (facts.keys.number('attention.clamp_kqv', 0) > 0) throw unsupported('olmoe', 'attention.clamp_kqv');
    const shape = withRowNorm(
      withExperts(ggufShape(facts, 'half'), ggufExperts(facts, { score: 'softmax' })),
    );
    return { ...shape, spec: decoderSpec(shape), bias: 'optional' };
  },
};

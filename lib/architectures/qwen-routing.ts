/** The routing of Qwen's experts: softmax scores; a period of layers has them, but for those that are named. */
import * as v from 'valibot';
import { count, index, parseConfig } from '../config-schema.js';
import type { Routing } from './experts.js';

const schema = v.looseObject({
  num_experts: count,
  num_experts_per_tok: count,
  moe_intermediate_size: count,
  norm_topk_prob: v.optional(v.boolean(), false),
  decoder_sparse_step: v.optional(count, 1),
  mlp_only_layers: v.nullish(v.array(index)),
});

export function qwenRouting(raw: unknown): Routing {
  const c = parseConfig(schema, raw);
  const dense = c.mlp_only_layers ?? [];
  return {
    experts: {
      count: c.num_experts,
      used: c.num_experts_per_tok,
      score: 'softmax',
      renormalize: c.norm_topk_prob,
    },
    size: c.moe_intermediate_size,
    isIn: (layer) => (layer + 1) % c.decoder_sparse_step === 0 && !dense.includes(layer),
  };
}

/**
 * The routing of DeepSeek-V3 and of those that followed: sigmoid scores, a bias for the choice alone, groups, shared experts,
 * the first layers without experts. And the layers behind the last one, which predict further tokens.
 */
import * as v from 'valibot';
import { count, index, parseConfig, positive, unsupported } from '../config-schema.js';
import type { DecoderShape } from './decoder.js';
import { ggufExpertsBesideShared, type Routing } from './experts.js';
import type { GgufFacts } from './family.js';

const schema = v.looseObject({
  n_routed_experts: count,
  num_experts_per_tok: count,
  moe_intermediate_size: count,
  n_shared_experts: v.optional(index, 1),
  routed_scaling_factor: v.optional(positive, 1),
  n_group: v.optional(count, 1),
  topk_group: v.optional(count, 1),
  first_k_dense_replace: v.optional(index, 1),
  norm_topk_prob: v.optional(v.boolean(), true),
});
const router = { score: 'sigmoid', selectionBias: true, renormalize: true, sumAdded: 1e-20 } as const;

export function deepseekRouting(raw: unknown): Routing {
  const c = parseConfig(schema, raw);
  return {
    experts: {
      ...router,
      count: c.n_routed_experts,
      used: c.num_experts_per_tok,
      renormalize: c.norm_topk_prob,
      scale: c.routed_scaling_factor,
      groups: c.n_group,
      usedGroups: c.topk_group,
      sharedSize: c.n_shared_experts * c.moe_intermediate_size || undefined,
    },
    size: c.moe_intermediate_size,
    isIn: (layer) => layer >= c.first_k_dense_replace,
  };
}

export function ggufDeepseekRouting(facts: GgufFacts): Routing {
  return ggufExpertsBesideShared(facts, router);
}

const mostPredicting = 16;

/** The shape without the `n` layers behind its last one, whose tensors nothing here asks for. */
export function withoutPredicting<Shape extends DecoderShape>(shape: Shape, n: number): Shape {
  if (n > mostPredicting) throw unsupported('decoder', `${n} layers that predict further tokens`);
  const numbers = Array.from({ length: n }, (_, i) => shape.layers + i);
  const ignored = numbers.map((layer) => new RegExp(`^(model\\.)?(layers|blk)\\.${layer}\\.`));
  return { ...shape, ignored: [...shape.ignored, ...ignored] };
}

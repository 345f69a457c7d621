/**
 * The routing of Qwen's experts: softmax scores; a period of layers has them, but for those that are named. Some families
 * have one beside them that all tokens use through a gate.
 */
import * as v from 'valibot';
import { count, index, parseConfig } from '../config-schema.js';
import { KvasirError } from '../errors.js';
import type { DecoderShape } from './decoder.js';
import { ggufExperts, qwenExpertNames, type Routing, sharedNames, withExperts } from './experts.js';
import type { GgufFacts, Names } from './family.js';

const schema = v.looseObject({
  num_experts: v.optional(count),
  /** Its name in newer files of Qwen3-MoE. */
  num_local_experts: v.optional(count),
  num_experts_per_tok: count,
  moe_intermediate_size: count,
  norm_topk_prob: v.optional(v.boolean(), false),
  decoder_sparse_step: v.optional(count, 1),
  mlp_only_layers: v.nullish(v.array(index)),
});

export function qwenRouting(raw: unknown): Routing {
  const c = parseConfig(schema, raw);
  const experts = c.num_experts ?? c.num_local_experts;
  if (experts === undefined) throw new KvasirError('MODEL_FORMAT', 'config.json names no num_experts.');
  const dense = c.mlp_only_layers ?? [];
  return {
    experts: {
      count: experts,
      used: c.num_experts_per_tok,
      score: 'softmax',
      renormalize: c.norm_topk_prob,
    },
    size: c.moe_intermediate_size,
    isIn: (layer) => (layer + 1) % c.decoder_sparse_step === 0 && !dense.includes(layer),
  };
}

const sharedSchema = v.looseObject({ shared_expert_intermediate_size: count });

export const qwenSharedNames: Names = {
  ...qwenExpertNames,
  ...sharedNames('mlp.shared_expert'),
  shared_gate: ['mlp.shared_expert_gate', 'ffn_gate_inp_shexp'],
};

/** Beside a shared one. */
export function qwenSharedRouting(raw: unknown): Routing {
  const { shared_expert_intermediate_size: sharedSize } = parseConfig(sharedSchema, raw);
  const routing = qwenRouting(raw);
  return { ...routing, experts: { ...routing.experts, sharedSize, sharedGate: true } };
}

export function withGgufShared<Shape extends DecoderShape>(
  facts: GgufFacts,
  shape: Shape,
  { renormalize }: { renormalize: boolean },
): Shape {
  const sharedSize = facts.keys.count('expert_shared_feed_forward_length', shape.feedForward.size);
  return withExperts(
    shape,
    ggufExperts(facts, { score: 'softmax', renormalize, sharedSize, sharedGate: true }),
  );
}

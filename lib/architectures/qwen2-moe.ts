/** Qwen2-MoE: Qwen2 with experts, beside one that all tokens use through a gate; chosen layers have none. */
import * as v from 'valibot';
import { count, parseConfig } from '../config-schema.js';
import { biasesOf, decoderSpec, ggufShape, hfShape, layerKinds, upperWindowsOf } from './decoder.js';
import { ggufExperts, hfExperts, qwenExpertNames, sharedNames, withExperts } from './experts.js';
import type { Family } from './family.js';
import { llamaLayout, llamaNames } from './llama.js';
import { qwenRouting } from './qwen-routing.js';

const schema = v.looseObject({
  shared_expert_intermediate_size: count,
  qkv_bias: v.optional(v.boolean(), true),
});

export const qwen2Moe: Family = {
  modelType: 'qwen2_moe',
  ggufArchitecture: 'qwen2moe',
  ...llamaLayout,
  names: {
    ...llamaNames,
    ...qwenExpertNames,
    ...sharedNames('mlp.shared_expert'),
    shared_gate: ['mlp.shared_expert_gate', 'ffn_gate_inp_shexp'],
  },
  fromConfig: (raw) => {
    const { shared_expert_intermediate_size: sharedSize, qkv_bias: biased } = parseConfig(schema, raw);
    const routing = qwenRouting(raw);
    const experts = { ...routing.experts, sharedSize, sharedGate: true };
    const shape = hfExperts('qwen2_moe', hfShape('qwen2_moe', raw), { ...routing, experts });
    const windows = upperWindowsOf(shape.config, (layer, most) => layer % 2 === 0 && layer < most);
    const bias = biasesOf(...(biased ? ['q', 'k', 'v'] : []));
    return { ...shape, spec: decoderSpec(shape, layerKinds(windows)), bias };
  },
  fromGguf: (facts) => {
    const plain = ggufShape(facts, 'half');
    const sharedSize = facts.keys.count('expert_shared_feed_forward_length', plain.feedForward.size);
    const routing = ggufExperts(facts, { score: 'softmax', sharedSize, sharedGate: true });
    const shape = withExperts(plain, routing);
    return { ...shape, spec: decoderSpec(shape), bias: 'optional' };
  },
};

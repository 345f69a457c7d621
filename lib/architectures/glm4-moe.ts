/** GLM-4.5: Llama with partial rotary embeddings and, behind the first layers, the experts of DeepSeek-V3. */
import * as v from 'valibot';
import { index, parseConfig, unsupported } from '../config-schema.js';
import { biasesOf, decoderSpec, ggufShape, hfShape } from './decoder.js';
import { deepseekRouting, ggufDeepseekRouting, withoutPredicting } from './deepseek-routing.js';
import { hfExperts, qwenExpertNames, selectionBiasNames, sharedNames, withExperts } from './experts.js';
import type { Family } from './family.js';
import { llamaLayout } from './llama.js';
import { qwen3Names, withHeadNorm } from './qwen3.js';

const schema = v.looseObject({
  use_qk_norm: v.optional(v.boolean(), false),
  attention_bias: v.optional(v.boolean(), false),
  num_nextn_predict_layers: v.optional(index),
  num_mtp_layers: v.optional(index, 1),
});

export const glm4Moe: Family = {
  modelType: 'glm4_moe',
  ggufArchitecture: 'glm4moe',
  ...llamaLayout,
  names: {
    ...qwen3Names,
    ...qwenExpertNames,
    ...sharedNames('mlp.shared_experts'),
    ...selectionBiasNames('mlp.gate'),
    ffn_norm: ['post_attention_layernorm', 'post_attention_norm'],
  },
  fromConfig: (raw) => {
    const c = parseConfig(schema, raw);
    const plain = hfShape('glm4_moe', raw, { partial: 0.5, normEps: 1e-5 });
    const routed = hfExperts('glm4_moe', plain, deepseekRouting(raw));
    const whole = c.use_qk_norm ? withHeadNorm(routed) : routed;
    const shape = withoutPredicting(whole, c.num_nextn_predict_layers ?? c.num_mtp_layers);
    const bias = biasesOf(...(c.attention_bias ? ['q', 'k', 'v'] : []));
    return { ...shape, spec: decoderSpec(shape), bias };
  },
  fromGguf: (facts) => {
    if (facts.keys.has('rope.dimension_sections')) throw unsupported('glm4moe', 'rotary sections of images');
    const all = withExperts(ggufShape(facts, 'half'), ggufDeepseekRouting(facts));
    const n = facts.keys.count('nextn_predict_layers', 0);
    const routed = withoutPredicting({ ...all, layers: all.layers - n }, n);
    const hasNorm = facts.tensor('blk.0.attn_q_norm.weight') !== undefined;
    const shape = hasNorm ? withHeadNorm(routed) : routed;
    return { ...shape, spec: decoderSpec(shape), bias: 'optional' };
  },
};

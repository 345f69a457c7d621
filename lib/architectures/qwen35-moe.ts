/** Qwen3.5 and 3.6 with experts, their text part: experts beside one that all tokens use through a gate, in every layer. */
import { decoderSpec } from './decoder.js';
import { ggufDeltaNet, hfDeltaNet } from './delta-net.js';
import { hfExperts } from './experts.js';
import type { Family } from './family.js';
import { llamaLayout } from './llama.js';
import { qwenSharedNames, qwenSharedRouting, withGgufShared } from './qwen-routing.js';
import { qwen35Names } from './qwen35.js';

/** What the reference does whatever a configuration says. */
const always = { norm_topk_prob: true, decoder_sparse_step: 1, mlp_only_layers: [] };

export const qwen35Moe: Family = {
  modelType: 'qwen3_5_moe_text',
  ggufArchitecture: 'qwen35moe',
  ...llamaLayout,
  names: { ...qwen35Names, ...qwenSharedNames },
  fromConfig: (raw) => {
    const given = raw as Record<string, unknown>;
    const config = { ...given, ...always, intermediate_size: given.moe_intermediate_size };
    const { shape, kindOf, bias } = hfDeltaNet('qwen3_5_moe_text', config);
    const routed = hfExperts('qwen3_5_moe_text', shape, qwenSharedRouting(config));
    return { ...routed, spec: decoderSpec(routed, kindOf), bias };
  },
  fromGguf: (facts) => {
    const { shape, kindOf, bias } = ggufDeltaNet(facts, { tiled: true });
    const routed = withGgufShared(facts, shape, { renormalize: true });
    return { ...routed, spec: decoderSpec(routed, kindOf), bias };
  },
};

/** Qwen3-MoE: Qwen3 with experts; chosen layers have none. */
import { decoderSpec, ggufShape, hfShape, layerKinds, upperWindowsOf } from './decoder.js';
import { ggufExperts, hfExperts, qwenExpertNames, withExperts } from './experts.js';
import type { Family } from './family.js';
import { llamaBias, llamaLayout } from './llama.js';
import { qwenRouting } from './qwen-routing.js';
import { qwen3Names, withHeadNorm } from './qwen3.js';

export const qwen3Moe: Family = {
  modelType: 'qwen3_moe',
  ggufArchitecture: 'qwen3moe',
  ...llamaLayout,
  names: { ...qwen3Names, ...qwenExpertNames },
  fromConfig: (raw) => {
    const shape = withHeadNorm(hfExperts('qwen3_moe', hfShape('qwen3_moe', raw), qwenRouting(raw)));
    const windows = upperWindowsOf(shape.config, () => true);
    const bias = llamaBias({ ...shape.config, mlp_bias: false });
    return { ...shape, spec: decoderSpec(shape, layerKinds(windows)), bias };
  },
  fromGguf: (facts) => {
    const routing = ggufExperts(facts, { score: 'softmax', renormalize: true });
    const shape = withHeadNorm(withExperts(ggufShape(facts, 'half'), routing));
    return { ...shape, spec: decoderSpec(shape), bias: 'optional' };
  },
};

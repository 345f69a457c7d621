/** Qwen2-MoE: Qwen2 with experts, beside one that all tokens use through a gate; chosen layers have none. */
import * as v from 'valibot';
import { parseConfig } from '../config-schema.js';
import { biasesOf, decoderSpec, ggufShape, hfShape, layerKinds, upperWindowsOf } from './decoder.js';
import { hfExperts } from './experts.js';
import type { Family } from './family.js';
import { llamaLayout, llamaNames } from './llama.js';
import { qwenSharedNames, qwenSharedRouting, withGgufShared } from './qwen-routing.js';

const schema = v.looseObject({ qkv_bias: v.optional(v.boolean(), true) });

export const qwen2Moe: Family = {
  modelType: 'qwen2_moe',
  ggufArchitecture: 'qwen2moe',
  ...llamaLayout,
  names: { ...llamaNames, ...qwenSharedNames },
  fromConfig: (raw) => {
    const { qkv_bias: biased } = parseConfig(schema, raw);
    const shape = hfExperts('qwen2_moe', hfShape('qwen2_moe', raw), qwenSharedRouting(raw));
    const windows = upperWindowsOf(shape.config, (layer, most) => layer % 2 === 0 && layer < most);
    const bias = biasesOf(...(biased ? ['q', 'k', 'v'] : []));
    return { ...shape, spec: decoderSpec(shape, layerKinds(windows)), bias };
  },
  fromGguf: (facts) => {
    const shape = withGgufShared(facts, ggufShape(facts, 'half'), { renormalize: false });
    return { ...shape, spec: decoderSpec(shape), bias: 'optional' };
  },
};

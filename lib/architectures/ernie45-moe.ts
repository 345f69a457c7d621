/** ERNIE 4.5 MoE: ERNIE 4.5 with experts in some layers, chosen by their scores and a bias, beside shared ones. */
import * as v from 'valibot';
import { count, finite, index, parseConfig } from '../config-schema.js';
import { decoderSpec, ggufShape, hfShape } from './decoder.js';
import { ernieBias, ernieDefaults } from './ernie45.js';
import {
  ggufExpertsBesideShared,
  hfExperts,
  qwenExpertNames,
  selectionBiasNames,
  sharedNames,
  withExperts,
} from './experts.js';
import type { Family } from './family.js';
import { llamaLayout, llamaNames } from './llama.js';

const schema = v.looseObject({
  moe_num_experts: count,
  moe_k: count,
  moe_intermediate_size: count,
  moe_num_shared_experts: v.optional(index, 2),
  moe_layer_start_index: v.optional(index, 1),
  moe_layer_end_index: v.optional(v.pipe(v.number(), v.safeInteger()), -1),
  moe_layer_interval: v.optional(count, 1),
  moe_norm_min: v.optional(v.pipe(finite, v.minValue(0)), 1e-12),
});
const biased = ['shared.gate', 'shared.up', 'shared.down', 'lm_head'];
const router = { score: 'softmax', renormalize: true, selectionBias: true } as const;

export const ernie45Moe: Family = {
  modelType: 'ernie4_5_moe',
  ggufArchitecture: 'ernie4_5-moe',
  ...llamaLayout,
  names: {
    ...llamaNames,
    ...qwenExpertNames,
    ...sharedNames('mlp.shared_experts'),
    ...selectionBiasNames('mlp.moe_statics', 'mlp.gate.moe_statics'),
  },
  fromConfig: (raw) => {
    const c = parseConfig(schema, raw);
    const plain = hfShape('ernie4_5_moe', raw, ernieDefaults);
    const { moe_layer_start_index: first, moe_layer_end_index: last, moe_layer_interval: every } = c;
    const size = c.moe_intermediate_size;
    const own = { sumLeast: c.moe_norm_min, sharedSize: c.moe_num_shared_experts * size || undefined };
    const shape = hfExperts('ernie4_5_moe', plain, {
      experts: { ...router, count: c.moe_num_experts, used: c.moe_k, ...own },
      size,
      isIn: (layer) => (layer + 1) % every === 0 && layer >= first && (last === -1 || layer <= last),
    });
    // Parts that predict further tokens: nothing here asks for them.
    const ignored = [...shape.ignored, /^model\.mtp_/];
    return { ...shape, spec: decoderSpec(shape), bias: ernieBias(raw, ...biased), ignored };
  },
  fromGguf: (facts) => {
    const routing = ggufExpertsBesideShared(facts, router);
    const shape = withExperts(ggufShape(facts, 'interleaved'), routing);
    return { ...shape, spec: decoderSpec(shape), bias: 'optional' };
  },
};

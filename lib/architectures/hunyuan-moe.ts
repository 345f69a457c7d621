/** Hunyuan-MoE: Hunyuan with experts in all layers, beside one that every token uses. */
import * as v from 'valibot';
import { count, parseConfig, unsupported } from '../config-schema.js';
import { decoderSpec, ggufShape, hfShape } from './decoder.js';
import { allowOnly, expertNames, ggufExperts, hfExperts, sharedNames, withExperts } from './experts.js';
import type { Family } from './family.js';
import { hunyuanNames, withNormAfterRope } from './hunyuan.js';
import { llamaBias, llamaLayout } from './llama.js';

/** A number for all layers, or one for each, which is one where they are alike. */
const counts = v.pipe(
  v.union([count, v.pipe(v.array(count), v.minLength(1))]),
  v.transform((value) => (new Set([value].flat()).size === 1 ? [value].flat()[0]! : value)),
);
const schema = v.looseObject({
  intermediate_size: count,
  num_experts: counts,
  moe_topk: counts,
  moe_intermediate_size: v.nullish(counts),
  num_shared_expert: v.nullish(counts),
});
const router = { score: 'softmax', renormalize: true } as const;

export const hunyuanMoe: Family = {
  modelType: 'hunyuan_v1_moe',
  ggufArchitecture: 'hunyuan-moe',
  ...llamaLayout,
  names: {
    ...hunyuanNames,
    ...expertNames('mlp.gate.wg', (expert, part) => `mlp.experts.${expert}.${part}_proj`),
    ...sharedNames('mlp.shared_mlp'),
  },
  fromConfig: (raw) => {
    const c = parseConfig(schema, raw);
    const { intermediate_size: size, num_experts: n, moe_topk: used } = c;
    if (typeof n !== 'number' || typeof used !== 'number') {
      throw unsupported('hunyuan_v1_moe', 'a num_experts or moe_topk for each layer');
    }
    allowOnly('hunyuan_v1_moe', c, {
      moe_intermediate_size: [size],
      num_shared_expert: [1],
      moe_layer_num_skipped: [0],
      use_cla: [false],
      use_mixed_mlp_moe: [true],
    });
    const plain = withNormAfterRope(hfShape('hunyuan_v1_moe', raw, { normEps: 1e-5 }));
    const experts = { ...router, count: n, used, sharedSize: size };
    const shape = hfExperts('hunyuan_v1_moe', plain, { experts });
    return { ...shape, spec: decoderSpec(shape), bias: llamaBias({ ...shape.config, mlp_bias: false }) };
  },
  fromGguf: (facts) => {
    const plain = withNormAfterRope(ggufShape(facts, 'half'));
    const sharedSize = facts.keys.count('expert_shared_feed_forward_length', plain.feedForward.size);
    const shape = withExperts(plain, ggufExperts(facts, { ...router, sharedSize }));
    return { ...shape, spec: decoderSpec(shape), bias: 'optional' };
  },
};

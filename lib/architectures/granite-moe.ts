/** Granite-MoE: Granite with experts, and in its shared form with one beside them that every token uses. */
import * as v from 'valibot';
import { count, index, parseConfig } from '../config-schema.js';
import { decoderSpec } from './decoder.js';
import { expertNames, ggufExperts, hfExperts, withExperts } from './experts.js';
import type { Family, Names } from './family.js';
import { ggufGraniteShape, graniteShape } from './granite.js';
import { llamaBias, llamaLayout, llamaNames } from './llama.js';
import { sharedGateUpRows } from './views.js';

const schema = v.looseObject({
  num_local_experts: count,
  num_experts_per_tok: count,
  shared_intermediate_size: v.optional(index, 0),
});

const block = 'block_sparse_moe';
const names: Names = {
  ...llamaNames,
  ...expertNames([`${block}.router.layer`, `${block}.router`], undefined, [
    { gateUp: `${block}.input_linear`, down: `${block}.output_linear`, end: '.weight' },
    { gateUp: `${block}.experts.gate_up_proj`, down: `${block}.experts.down_proj`, end: '' },
  ]),
  'shared.gate': [sharedGateUpRows('shared_mlp.input_linear', 0), 'ffn_gate_shexp'],
  'shared.up': [sharedGateUpRows('shared_mlp.input_linear', 1), 'ffn_up_shexp'],
  'shared.down': ['shared_mlp.output_linear', 'ffn_down_shexp'],
};
const score = 'softmax_of_used';

function family(modelType: 'granitemoe' | 'granitemoeshared'): Family {
  return {
    modelType,
    ggufTurnsHeads: true,
    ...llamaLayout,
    names,
    fromConfig: (raw) => {
      const c = parseConfig(schema, raw);
      const sharedSize = modelType === 'granitemoeshared' ? c.shared_intermediate_size : 0;
      const chosen = { count: c.num_local_experts, used: c.num_experts_per_tok, score } as const;
      const experts = { ...chosen, sharedSize: sharedSize || undefined };
      const shape = hfExperts(modelType, graniteShape(modelType, raw), { experts });
      return { ...shape, spec: decoderSpec(shape), bias: llamaBias({ ...shape.config, mlp_bias: false }) };
    },
  };
}

export const graniteMoeShared = family('granitemoeshared');

/** In GGUF files both have one name. */
export const graniteMoe: Family = {
  ...family('granitemoe'),
  ggufArchitecture: 'granitemoe',
  fromGguf: (facts) => {
    const sharedSize = facts.keys.count('expert_shared_feed_forward_length', 0) || undefined;
    const shape = withExperts(ggufGraniteShape(facts), ggufExperts(facts, { score, sharedSize }));
    return { ...shape, spec: decoderSpec(shape), bias: 'optional' };
  },
};

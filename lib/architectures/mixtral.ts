/** Mixtral: Mistral whose feed-forwards are experts. Its GGUF files call themselves llama. */
import * as v from 'valibot';
import { count, parseConfig } from '../config-schema.js';
import { decoderSpec, hfShape, layerKinds, windowsOf } from './decoder.js';
import { hfExperts, mixtralExpertNames, mixtralRouter } from './experts.js';
import type { Family } from './family.js';
import { llamaLayout, llamaNames } from './llama.js';

const schema = v.looseObject({ num_local_experts: count, num_experts_per_tok: count });

export const mixtral: Family = {
  modelType: 'mixtral',
  ggufTurnsHeads: true,
  ...llamaLayout,
  names: { ...llamaNames, ...mixtralExpertNames },
  fromConfig: (raw) => {
    const c = parseConfig(schema, raw);
    const shape = hfExperts('mixtral', hfShape('mixtral', raw, { theta: 1e6, normEps: 1e-5 }), {
      experts: { ...mixtralRouter, count: c.num_local_experts, used: c.num_experts_per_tok },
    });
    const { sliding_window = null } = shape.config;
    const windows = windowsOf({ ...shape.config, sliding_window }, () => true);
    return { ...shape, spec: decoderSpec(shape, layerKinds(windows)) };
  },
};

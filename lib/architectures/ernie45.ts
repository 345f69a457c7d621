/** ERNIE 4.5: Llama whose heads rotate in pairs of neighbours. */
import * as v from 'valibot';
import { parseConfig } from '../config-schema.js';
import { decoderSpec, ggufShape, hfShape } from './decoder.js';
import type { Family } from './family.js';
import { llamaBias, llamaLayout, llamaNames } from './llama.js';

const schema = v.looseObject({ use_bias: v.nullish(v.boolean()) });

export const ernie45: Family = {
  modelType: 'ernie4_5',
  ggufArchitecture: 'ernie4_5',
  ...llamaLayout,
  names: llamaNames,
  fromConfig: (raw) => {
    const { use_bias: biased } = parseConfig(schema, raw);
    const shape = hfShape('ernie4_5', raw, {
      kind: 'interleaved',
      theta: 500000,
      headDim: 128,
      normEps: 1e-5,
      tied: true,
    });
    const bias = llamaBias({ ...shape.config, attention_bias: biased, mlp_bias: biased });
    return { ...shape, spec: decoderSpec(shape), bias };
  },
  fromGguf: (facts) => {
    const shape = ggufShape(facts, 'interleaved');
    return { ...shape, spec: decoderSpec(shape), bias: 'optional' };
  },
};

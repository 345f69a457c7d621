/** ERNIE 4.5: Llama whose heads rotate in pairs of neighbours. */
import * as v from 'valibot';
import { parseConfig } from '../config-schema.js';
import { biasesOf, decoderSpec, ggufShape, type HfDefaults, hfShape } from './decoder.js';
import type { Family } from './family.js';
import { llamaLayout, llamaNames } from './llama.js';

const schema = v.looseObject({ use_bias: v.nullish(v.boolean()) });

export const ernieDefaults: HfDefaults = {
  kind: 'interleaved',
  theta: 500000,
  normEps: 1e-5,
  tied: true,
};

/** Biases of attention and feed-forward, and of these `others`, where `use_bias` says so. */
export function ernieBias(raw: unknown, ...others: readonly string[]) {
  const { use_bias: biased } = parseConfig(schema, raw);
  return biasesOf(...(biased ? ['q', 'k', 'v', 'o', 'gate', 'up', 'down', ...others] : []));
}

export const ernie45: Family = {
  modelType: 'ernie4_5',
  ggufArchitecture: 'ernie4_5',
  ...llamaLayout,
  names: llamaNames,
  fromConfig: (raw) => {
    const shape = hfShape('ernie4_5', raw, { ...ernieDefaults, headDim: 128 });
    return { ...shape, spec: decoderSpec(shape), bias: ernieBias(raw) };
  },
  fromGguf: (facts) => {
    const shape = ggufShape(facts, 'interleaved');
    return { ...shape, spec: decoderSpec(shape), bias: 'optional' };
  },
};

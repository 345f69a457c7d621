/** StarCoder2: layer norms and biases everywhere, plain GELU; all layers may see a window only. */
import * as v from 'valibot';
import { finite, parseConfig } from '../config-schema.js';
import { decoderSpec, ggufShape, ggufWindows, hfShape, layerKinds, windowsOf } from './decoder.js';
import type { Family, Names } from './family.js';
import { asGptLike, gptBias } from './gpt-like.js';
import { llamaLayout, llamaNames } from './llama.js';

const names: Names = {
  ...llamaNames,
  up: ['mlp.c_fc', 'ffn_up'],
  down: ['mlp.c_proj', 'ffn_down'],
};

const schema = v.looseObject({
  norm_epsilon: v.optional(finite, 1e-5),
  use_bias: v.optional(v.boolean(), true),
});

export const starcoder2: Family = {
  modelType: 'starcoder2',
  ggufArchitecture: 'starcoder2',
  ...llamaLayout,
  names,
  fromConfig: (raw) => {
    const { norm_epsilon: normEps, use_bias: biased } = parseConfig(schema, raw);
    const plain = hfShape('starcoder2', raw, { activation: 'gelu_pytorch_tanh', tied: true });
    const shape = asGptLike(plain, { normEps });
    const { config } = shape;
    const windows = windowsOf({ ...config, sliding_window: config.sliding_window ?? null }, () => true);
    return { ...shape, spec: decoderSpec(shape, layerKinds(windows)), bias: gptBias(biased) };
  },
  fromGguf: (facts) => {
    const shape = asGptLike(ggufShape(facts, 'half'), { activation: 'gelu_tanh' });
    return { ...shape, spec: decoderSpec(shape, layerKinds(ggufWindows(facts, 0))), bias: 'optional' };
  },
};

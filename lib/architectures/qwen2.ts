/** Qwen2 and 2.5: Llama with biases of queries, keys and values; upper layers may see a window only. */
import { biasesOf, decoderSpec, ggufShape, hfShape, layerKinds, upperWindowsOf } from './decoder.js';
import type { Family } from './family.js';
import { llamaLayout, llamaNames } from './llama.js';

export const qwen2: Family = {
  modelType: 'qwen2',
  ggufArchitecture: 'qwen2',
  ...llamaLayout,
  names: llamaNames,
  fromConfig: (raw) => {
    const shape = hfShape('qwen2', raw);
    return {
      ...shape,
      spec: decoderSpec(shape, layerKinds(upperWindowsOf(shape.config))),
      bias: biasesOf('q', 'k', 'v'),
    };
  },
  fromGguf: (facts) => {
    const shape = ggufShape(facts, 'half');
    return { ...shape, spec: decoderSpec(shape), bias: 'optional' };
  },
};

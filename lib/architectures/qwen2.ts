/** Qwen2 and 2.5: Llama with biases of queries, keys and values; upper layers may see a window only. */
import { decoderSpec, ggufShape, hfShape, upperWindowsOf } from './decoder.js';
import type { Family } from './family.js';
import { llamaLayout, llamaNames } from './llama.js';

const biased: ReadonlySet<string> = new Set(['q', 'k', 'v']);

export const qwen2: Family = {
  modelType: 'qwen2',
  ggufArchitecture: 'qwen2',
  ...llamaLayout,
  names: llamaNames,
  fromConfig: (raw) => {
    const shape = hfShape('qwen2', raw);
    return {
      ...shape,
      spec: decoderSpec(shape, upperWindowsOf(shape.config)),
      bias: (part) => (biased.has(part) ? 'required' : 'none'),
    };
  },
  fromGguf: (facts) => {
    const shape = ggufShape(facts, 'half');
    return { ...shape, spec: decoderSpec(shape), bias: 'optional' };
  },
};

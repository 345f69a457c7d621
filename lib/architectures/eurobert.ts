/** EuroBERT: Llama that sees a text whole, without a head. */
import { hfShape, ggufShape } from './decoder.js';
import { asEncoder, encoderOf } from './encoder.js';
import type { Family } from './family.js';
import { llamaBias, llamaLayout, llamaNames } from './llama.js';

export const eurobert: Family = {
  modelType: 'eurobert',
  ggufArchitecture: 'eurobert',
  ...llamaLayout,
  names: llamaNames,
  fromConfig: (raw) => {
    const shape = hfShape('eurobert', raw, { normEps: 1e-5 });
    return encoderOf(asEncoder(shape), { bias: llamaBias(shape.config) });
  },
  fromGguf: (facts) => encoderOf(asEncoder(ggufShape(facts, 'half')), { bias: 'optional' }),
};

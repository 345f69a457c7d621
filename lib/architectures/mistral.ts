/** Mistral: Llama whose layers may all see a window only. Its GGUF files call themselves llama. */
import { decoderSpec, hfShape, layerKinds, windowsOf } from './decoder.js';
import type { Family } from './family.js';
import { llamaLayout, llamaNames } from './llama.js';

export const mistral: Family = {
  modelType: 'mistral',
  ggufTurnsHeads: true,
  ...llamaLayout,
  names: llamaNames,
  fromConfig: (raw) => {
    const shape = hfShape('mistral', raw);
    return {
      ...shape,
      spec: decoderSpec(shape, layerKinds(windowsOf(shape.config, () => true))),
    };
  },
};

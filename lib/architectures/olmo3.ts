/** OLMo 3: OLMo 2 with windows in three of four layers, which rotate without scaling. Its GGUF files call themselves olmo2. */
import { decoderSpec, hfShape, layerKinds, windowsOf } from './decoder.js';
import type { Family } from './family.js';
import { llamaBias, llamaLayout } from './llama.js';
import { asOlmo, normsAfterNames } from './olmo2.js';
import { hfRope, ropeScalingOf } from './rope-config.js';

export const olmo3: Family = {
  modelType: 'olmo3',
  ...llamaLayout,
  names: normsAfterNames,
  fromConfig: (raw) => {
    const defaults = { normEps: 1e-5, theta: 500000 };
    const shape = asOlmo(hfShape('olmo3', raw, defaults));
    const { config, attention } = shape;
    const scaling = ropeScalingOf(config, 'sliding_attention');
    const rope = hfRope('olmo3', config, attention.headDim, { defaults, scaling });
    const windows = windowsOf(config, (layer) => (layer + 1) % 4 !== 0);
    return { ...shape, spec: decoderSpec(shape, layerKinds(windows, { rope })), bias: llamaBias(config) };
  },
};

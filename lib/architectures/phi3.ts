/** Phi-3, 3.5 and 4: Llama whose query, key and value, and gate and up, lie as one; LongRoPE; a part of a head rotates. */
import { decoderSpec, ggufShape, ggufWindows, hfShape, layerKinds, windowsOf } from './decoder.js';
import type { Family, Names } from './family.js';
import { llamaLayout, llamaNames } from './llama.js';
import { hfRope, ropeScalingOf } from './rope-config.js';
import { fusedQkv, gateUpRows, qkvRows } from './views.js';

const names: Names = {
  ...llamaNames,
  ...fusedQkv(qkvRows, 'self_attn.qkv_proj'),
  gate: [gateUpRows('mlp.gate_up_proj', 0), gateUpRows('ffn_up', 0)],
  up: [gateUpRows('mlp.gate_up_proj', 1), gateUpRows('ffn_up', 1)],
};

export const phi3: Family = {
  modelType: 'phi3',
  ggufArchitecture: 'phi3',
  ...llamaLayout,
  names,
  fromConfig: (raw) => {
    const defaults = { normEps: 1e-5, partial: 1 };
    const plain = hfShape('phi3', raw, defaults);
    const { original_max_position_embeddings: original, sliding_window: window = null } = plain.config;
    const config = {
      ...plain.config,
      original_max_position_embeddings: original ?? 4096,
      sliding_window: window,
    };
    const given = ropeScalingOf(config);
    // Older files call it "su" or "yarn".
    const scaling = given.long_factor ? { ...given, rope_type: 'longrope' } : given;
    const shape = { ...plain, rope: hfRope('phi3', config, plain.attention.headDim, { defaults, scaling }) };
    const windows = windowsOf(config, () => true);
    return { ...shape, spec: decoderSpec(shape, layerKinds(windows)) };
  },
  fromGguf: (facts) => {
    const shape = ggufShape(facts, 'half');
    return { ...shape, spec: decoderSpec(shape, layerKinds(ggufWindows(facts, 0))) };
  },
};

/** Ministral 3: Mistral with YaRN, whose queries grow with their position. */
import { unsupported } from '../config-schema.js';
import { decoderSpec, type DecoderShape, ggufShape, hfShape, layerKinds, windowsOf } from './decoder.js';
import type { Family } from './family.js';
import { llamaLayout, llamaNames } from './llama.js';
import { ropeScalingOf } from './rope-config.js';

function withQueryScale<Shape extends DecoderShape>(
  shape: Shape,
  beta: number,
  positions?: number | null,
): Shape {
  if (beta === 0) return shape;
  if (!positions) throw unsupported('ministral3', 'a scale of queries without the original positions');
  return { ...shape, attention: { ...shape.attention, queryScale: { beta, positions } } };
}

export const ministral3: Family = {
  modelType: 'ministral3',
  ggufArchitecture: 'mistral3',
  ggufTurnsHeads: true,
  ...llamaLayout,
  names: llamaNames,
  fromConfig: (raw) => {
    const plain = hfShape('ministral3', raw, { headDim: 128, normEps: 1e-5, theta: 1e6 });
    const { config } = plain;
    const scaling = ropeScalingOf(config);
    if (scaling.llama_4_scaling_beta === undefined || scaling.llama_4_scaling_beta === null) {
      throw unsupported('ministral3', 'rope_parameters without llama_4_scaling_beta');
    }
    const original = config.original_max_position_embeddings ?? scaling.original_max_position_embeddings;
    const shape = withQueryScale(plain, scaling.llama_4_scaling_beta, original);
    const windows = windowsOf({ ...config, sliding_window: config.sliding_window ?? null }, () => true);
    return { ...shape, spec: decoderSpec(shape, layerKinds(windows)) };
  },
  fromGguf: (facts) => {
    const { keys } = facts;
    if (keys.count('expert_count', 0) > 0) throw unsupported('mistral3', 'a mixture of experts');
    const original = keys.count('rope.scaling.original_context_length', 0);
    const beta = keys.number('attention.temperature_scale', 0);
    const shape = withQueryScale(ggufShape(facts, 'interleaved'), beta, original);
    return { ...shape, spec: decoderSpec(shape), bias: 'optional' };
  },
};

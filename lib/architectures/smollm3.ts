/** SmolLM3: Llama in which every fourth layer has no rotary embedding. */
import * as v from 'valibot';
import { count, parseConfig } from '../config-schema.js';
import { decoderSpec, ggufShape, hfShape, type LayerKind, windowsOf } from './decoder.js';
import type { Family } from './family.js';
import { llamaBias, llamaLayout, llamaNames } from './llama.js';

const schema = v.looseObject({
  /** A flag for each layer that has one. */
  no_rope_layers: v.nullish(v.array(v.number())),
  no_rope_layer_interval: v.optional(count, 4),
  use_sliding_window: v.optional(v.boolean(), false),
});

export const smollm3: Family = {
  modelType: 'smollm3',
  ggufArchitecture: 'smollm3',
  ggufTurnsHeads: true,
  ...llamaLayout,
  names: llamaNames,
  fromConfig: (raw) => {
    const {
      no_rope_layers: flags,
      no_rope_layer_interval: interval,
      use_sliding_window: windowed,
    } = parseConfig(schema, raw);
    const shape = hfShape('smollm3', raw, { theta: 2e6, tied: true });
    const rotates = (layer: number) => (flags ? flags[layer] !== 0 : (layer + 1) % interval !== 0);
    const { sliding_window: size = null } = shape.config;
    const windows = windowsOf({ ...shape.config, sliding_window: size }, (layer) => !rotates(layer));
    const kindOf = (layer: number): LayerKind => ({
      ...(rotates(layer) ? {} : { rope: null }),
      ...(windowed && windows?.isIn(layer) ? { window: windows.size } : {}),
    });
    return { ...shape, spec: decoderSpec(shape, kindOf), bias: llamaBias(shape.config) };
  },
  fromGguf: (facts) => {
    const shape = ggufShape(facts, 'interleaved');
    const kindOf = (layer: number): LayerKind => ((layer + 1) % 4 === 0 ? { rope: null } : {});
    return { ...shape, spec: decoderSpec(shape, kindOf), bias: 'optional' };
  },
};

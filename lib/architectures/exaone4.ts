/** EXAONE 4: norms after, norms of heads; three layers of four have a window, the fourth sees all and does not rotate. */
import * as v from 'valibot';
import { count, parseConfig } from '../config-schema.js';
import {
  decoderSpec,
  type DecoderShape,
  ggufShape,
  ggufWindows,
  hfShape,
  layerKinds,
  windowsOf,
} from './decoder.js';
import type { Family, Names } from './family.js';
import { llamaLayout } from './llama.js';
import { qwen3Names, withHeadNorm } from './qwen3.js';

const names: Names = {
  ...qwen3Names,
  attn_norm: ['post_attention_layernorm', 'post_attention_norm'],
  ffn_norm: ['post_feedforward_layernorm', 'post_ffw_norm'],
};

const schema = v.looseObject({
  /** Every n-th layer sees all; or, as "LLLG", a letter for each of the layers that repeat. */
  sliding_window_pattern: v.optional(v.union([count, v.pipe(v.string(), v.regex(/^[LG]+$/))]), 4),
});

function withNormsAfter<Shape extends DecoderShape>(shape: Shape): Shape {
  return { ...withHeadNorm(shape), stack: { residual: 'post' } };
}

export const exaone4: Family = {
  modelType: 'exaone4',
  ggufArchitecture: 'exaone4',
  ...llamaLayout,
  names,
  fromConfig: (raw) => {
    const shape = withNormsAfter(hfShape('exaone4', raw, { normEps: 1e-5 }));
    const isIn = (layer: number): boolean => {
      const { sliding_window_pattern: pattern } = parseConfig(schema, raw);
      if (typeof pattern === 'string') return pattern[layer % pattern.length] === 'L';
      return (layer + 1) % pattern !== 0;
    };
    const windows = windowsOf(shape.config, isIn);
    return { ...shape, spec: decoderSpec(shape, layerKinds(windows, {}, windows ? { rope: null } : {})) };
  },
  fromGguf: (facts) => {
    const shape = withNormsAfter(ggufShape(facts, 'half'));
    const windows = ggufWindows(facts, 4);
    return { ...shape, spec: decoderSpec(shape, layerKinds(windows, {}, windows ? { rope: null } : {})) };
  },
};

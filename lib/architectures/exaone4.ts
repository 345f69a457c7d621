/** EXAONE 4: norms after, norms of heads; three layers of four have a window, the fourth sees all and does not rotate. */
import * as v from 'valibot';
import { count, parseConfig } from '../config-schema.js';
import type { ModelSpec } from '../spec.js';
import {
  decoderSpec,
  type DecoderShape,
  ggufShape,
  ggufWindows,
  hfShape,
  layerKinds,
  type Windows,
  windowsOf,
} from './decoder.js';
import type { Family } from './family.js';
import { llamaLayout } from './llama.js';
import { normsAfterNames } from './olmo2.js';
import { withHeadNorm } from './qwen3.js';

const schema = v.looseObject({
  /** Every n-th layer sees all; or, as "LLLG", a letter for each of the layers that repeat. */
  sliding_window_pattern: v.optional(v.union([count, v.pipe(v.string(), v.regex(/^[LG]+$/))]), 4),
});

function withNormsAfter<Shape extends DecoderShape>(shape: Shape): Shape {
  return { ...withHeadNorm(shape), stack: { residual: 'post' } };
}

/** Where there are windows, layers that see all do not rotate. */
function specOf(shape: DecoderShape, windows: Windows | undefined): ModelSpec {
  return decoderSpec(shape, layerKinds(windows, {}, windows ? { rope: null } : {}));
}

export const exaone4: Family = {
  modelType: 'exaone4',
  ggufArchitecture: 'exaone4',
  ...llamaLayout,
  names: normsAfterNames,
  fromConfig: (raw) => {
    const shape = withNormsAfter(hfShape('exaone4', raw, { normEps: 1e-5 }));
    const isIn = (layer: number): boolean => {
      const { sliding_window_pattern: pattern } = parseConfig(schema, raw);
      if (typeof pattern === 'string') return pattern[layer % pattern.length] === 'L';
      return (layer + 1) % pattern !== 0;
    };
    return { ...shape, spec: specOf(shape, windowsOf(shape.config, isIn)) };
  },
  fromGguf: (facts) => {
    const shape = withNormsAfter(ggufShape(facts, 'half'));
    return { ...shape, spec: specOf(shape, ggufWindows(facts, 4)) };
  },
};

/** Cohere 2 (Command R7B and A): layer norms without bias, attention and feed-forward in parallel, scaled logits; layers that see all do not rotate. */
import * as v from 'valibot';
import { count, finite, parseConfig } from '../config-schema.js';
import {
  decoderSpec,
  type DecoderShape,
  ggufShape,
  ggufWindows,
  hfShape,
  layerKinds,
  windowsOf,
} from './decoder.js';
import type { Family } from './family.js';
import { llamaBias, llamaLayout, llamaNames } from './llama.js';

const schema = v.looseObject({
  layer_norm_eps: v.optional(finite, 1e-5),
  logit_scale: v.optional(finite, 0.0625),
  sliding_window_pattern: v.optional(count, 4),
});

function inParallel<Shape extends DecoderShape>(shape: Shape, normEps: number, logitsScale: number): Shape {
  return {
    ...shape,
    spec: { ...shape.spec, norm: 'layer', normEps, logitsScale },
    stack: { residual: 'parallel', sharedNorm: true },
  };
}

export const cohere2: Family = {
  modelType: 'cohere2',
  ggufArchitecture: 'cohere2',
  ...llamaLayout,
  names: llamaNames,
  fromConfig: (raw) => {
    const own = parseConfig(schema, raw);
    const plain = hfShape('cohere2', raw, { kind: 'interleaved', tied: true });
    const shape = inParallel(plain, own.layer_norm_eps, own.logit_scale);
    const windows = windowsOf(shape.config, (layer) => (layer + 1) % own.sliding_window_pattern !== 0);
    const spec = decoderSpec(shape, layerKinds(windows, {}, { rope: null }));
    return { ...shape, spec, bias: llamaBias(shape.config), normBias: 'none' };
  },
  fromGguf: (facts) => {
    const plain = ggufShape(facts, 'interleaved');
    const shape = inParallel(plain, plain.spec.normEps, facts.keys.number('logit_scale'));
    const spec = decoderSpec(shape, layerKinds(ggufWindows(facts, 4), {}, { rope: null }));
    return { ...shape, spec, bias: 'optional', normBias: 'none' };
  },
};

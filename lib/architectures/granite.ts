/** Granite 3: Llama with scales of the embedding, of what layers add, of scores and of logits. */
import * as v from 'valibot';
import { finite, parseConfig, positive } from '../config-schema.js';
import { decoderSpec, type DecoderShape, ggufShape, type HfShape, hfShape } from './decoder.js';
import type { Family, GgufFacts } from './family.js';
import { llamaBias, llamaLayout, llamaNames } from './llama.js';

const schema = v.looseObject({
  embedding_multiplier: v.optional(finite, 1),
  residual_multiplier: v.optional(finite, 1),
  attention_multiplier: v.optional(positive, 1),
  logits_scaling: v.optional(positive, 1),
});

/** Of the embedding, of what layers add, of scores (undefined: the usual one); `logits` divides. */
type Scales = Record<'embedding' | 'residual' | 'logits', number> & { scores?: number };

function withScales<Shape extends DecoderShape>(shape: Shape, scales: Scales): Shape {
  const { embedding, residual, scores, logits } = scales;
  const attention = { ...shape.attention, ...(scores ? { scale: scores } : {}) };
  const own = { embedding: { scale: embedding }, residualScale: residual, logitsScale: 1 / logits };
  return { ...shape, attention, spec: { ...shape.spec, ...own } };
}

export function graniteShape(family: string, raw: unknown): HfShape {
  const c = parseConfig(schema, raw);
  return withScales(hfShape(family, raw), {
    embedding: c.embedding_multiplier,
    residual: c.residual_multiplier,
    scores: c.attention_multiplier,
    logits: c.logits_scaling,
  });
}

export function ggufGraniteShape(facts: GgufFacts): DecoderShape {
  const { keys } = facts;
  return withScales(ggufShape(facts, 'interleaved'), {
    embedding: keys.number('embedding_scale', 1),
    residual: keys.number('residual_scale', 1),
    scores: keys.number('attention.scale', 0),
    logits: keys.number('logit_scale', 1),
  });
}

export const granite: Family = {
  modelType: 'granite',
  ggufArchitecture: 'granite',
  ggufTurnsHeads: true,
  ...llamaLayout,
  names: llamaNames,
  fromConfig: (raw) => {
    const shape = graniteShape('granite', raw);
    return { ...shape, spec: decoderSpec(shape), bias: llamaBias(shape.config) };
  },
  fromGguf: (facts) => {
    const shape = ggufGraniteShape(facts);
    return { ...shape, spec: decoderSpec(shape), bias: 'optional' };
  },
};

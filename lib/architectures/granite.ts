/** Granite 3: Llama with scales of the embedding, of what layers add, of scores and of logits. */
import * as v from 'valibot';
import { finite, parseConfig, positive } from '../config-schema.js';
import { decoderSpec, type DecoderShape, ggufShape, hfShape } from './decoder.js';
import type { Family } from './family.js';
import { llamaBias, llamaLayout, llamaNames } from './llama.js';

const scalesSchema = v.looseObject({
  embedding_multiplier: v.optional(finite, 1),
  residual_multiplier: v.optional(finite, 1),
  attention_multiplier: v.optional(positive, 1),
  logits_scaling: v.optional(positive, 1),
});

interface Scales {
  embedding: number;
  residual: number;
  scores?: number;
  /** Divides. */
  logits: number;
}

function withScales<Shape extends DecoderShape>(
  shape: Shape,
  { embedding, residual, scores, logits }: Scales,
): Shape {
  return {
    ...shape,
    attention: { ...shape.attention, ...(scores ? { scale: scores } : {}) },
    spec: {
      ...shape.spec,
      embedding: { scale: embedding },
      residualScale: residual,
      logitsScale: 1 / logits,
    },
  };
}

export const granite: Family = {
  modelType: 'granite',
  ggufArchitecture: 'granite',
  ...llamaLayout,
  names: llamaNames,
  fromConfig: (raw) => {
    const scales = parseConfig(scalesSchema, raw);
    const shape = withScales(hfShape('granite', raw), {
      embedding: scales.embedding_multiplier,
      residual: scales.residual_multiplier,
      scores: scales.attention_multiplier,
      logits: scales.logits_scaling,
    });
    return { ...shape, spec: decoderSpec(shape), bias: llamaBias(shape.config) };
  },
  fromGguf: (facts) => {
    const scale = (name: string) => facts.keys.number(name, 1);
    const scores = facts.keys.number('attention.scale', 0);
    const shape = withScales(ggufShape(facts, 'interleaved'), {
      embedding: scale('embedding_scale'),
      residual: scale('residual_scale'),
      scores,
      logits: scale('logit_scale'),
    });
    return { ...shape, spec: decoderSpec(shape), bias: 'optional' };
  },
};

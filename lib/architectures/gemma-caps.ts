/** What Gemma 2 and 3 have beside Gemma: norms before and after, a scale of scores of their own, soft caps. */
import * as v from 'valibot';
import { positive } from '../config-schema.js';
import type { DecoderShape } from './decoder.js';
import type { GgufFacts } from './family.js';

const cap = (fallback: number | null) => v.optional(v.nullable(positive), fallback);
export const capsSchema = (scores: number | null, logits: number | null) =>
  v.looseObject({
    query_pre_attn_scalar: v.optional(positive, 256),
    attn_logit_softcapping: cap(scores),
    final_logit_softcapping: cap(logits),
  });

export function withCaps<Shape extends DecoderShape>(
  shape: Shape,
  { scale, scores, logits }: { scale: number; scores?: number | null; logits?: number | null },
): Shape {
  return {
    ...shape,
    attention: { ...shape.attention, scale, ...(scores ? { softCap: scores } : {}) },
    spec: { ...shape.spec, ...(logits ? { logitsSoftCap: logits } : {}) },
    stack: { residual: 'sandwich' },
  };
}

/** No key says the scale of scores: the 27B models, known by their layers, share the hidden size among the heads. */
export function ggufScale(
  { keys }: GgufFacts,
  { attention, layers }: DecoderShape,
  layersOf27B: number,
): number {
  const shared = keys.count('embedding_length') / attention.heads;
  return (layers === layersOf27B ? shared : attention.headDim) ** -0.5;
}

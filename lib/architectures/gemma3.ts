/**
 * Gemma 3, its text part: Gemma 2 without caps, norms of heads, five layers of six with a window and a rotary base of their own.
 * EmbeddingGemma is one that sees a text whole and has no head.
 */
import * as v from 'valibot';
import { count, parseConfig, positive } from '../config-schema.js';
import {
  decoderSpec,
  type DecoderShape,
  ggufShape,
  ggufWindows,
  layerKinds,
  type Windows,
  windowsOf,
} from './decoder.js';
import { asEncoder } from './encoder.js';
import type { Family, Names } from './family.js';
import { asGemma, gemmaShape } from './gemma.js';
import { gemma2Names } from './gemma2.js';
import { capsSchema, ggufScale, withCaps } from './gemma-caps.js';
import { llamaBias, llamaLayout } from './llama.js';
import { withHeadNorm } from './qwen3.js';
import { ggufWindowRope, hfRope, ropeScalingOf } from './rope-config.js';
import { lessOne } from './views.js';

const names: Names = {
  ...gemma2Names,
  q_norm: [lessOne('self_attn.q_norm'), 'attn_q_norm'],
  k_norm: [lessOne('self_attn.k_norm'), 'attn_k_norm'],
};

const localBase = 10000;
const localSchema = v.looseObject({
  sliding_window_pattern: v.optional(count, 6),
  rope_local_base_freq: v.optional(positive, localBase),
  use_bidirectional_attention: v.nullish(v.boolean()),
});

/** The window of an encoder is cut in half, to each side and itself. */
function seenWhole<Shape extends DecoderShape>(shape: Shape, windows: Windows | undefined) {
  const own = windows && { ...windows, size: Math.floor(windows.size / 2) + 1 };
  return { shape: asEncoder(shape), windows: own };
}

export const gemma3: Family = {
  modelType: 'gemma3_text',
  ggufArchitecture: ['gemma3', 'gemma-embedding'],
  ...llamaLayout,
  names,
  fromConfig: (raw) => {
    const caps = parseConfig(capsSchema(null, null), raw);
    const plain = withHeadNorm(
      withCaps(gemmaShape('gemma3_text', raw, { theta: 1e6, bothSides: true }), {
        scale: caps.query_pre_attn_scalar ** -0.5,
        scores: caps.attn_logit_softcapping,
        logits: caps.final_logit_softcapping,
      }),
    );
    const { config, attention } = plain;
    const local = parseConfig(localSchema, raw);
    const cut = windowsOf(config, (layer) => (layer + 1) % local.sliding_window_pattern !== 0);
    const { shape, windows } = local.use_bidirectional_attention
      ? seenWhole(plain, cut)
      : { shape: plain, windows: cut };
    const scaling = ropeScalingOf(config, 'sliding_attention');
    const own = { ...config, rope_theta: local.rope_local_base_freq };
    const rope = hfRope('gemma3_text', own, attention.headDim, { defaults: {}, scaling });
    return { ...shape, spec: decoderSpec(shape, layerKinds(windows, { rope })), bias: llamaBias(config) };
  },
  fromGguf: (facts) => {
    const plain = withHeadNorm(asGemma(ggufShape(facts, 'half')));
    const logits = facts.keys.number('final_logit_softcapping', 0);
    const capped = withCaps(plain, { scale: ggufScale(facts, plain, 62), logits });
    const cut = ggufWindows(facts, 6);
    const { shape, windows } =
      facts.keys.prefix === 'gemma-embedding' ? seenWhole(capped, cut) : { shape: capped, windows: cut };
    const rope = ggufWindowRope(facts, 'half', shape.attention.headDim, localBase);
    // Steps behind the pooling, which are read beside the graph.
    const ignored = [...shape.ignored, /^dense_[23][.]weight$/];
    return { ...shape, ignored, spec: decoderSpec(shape, layerKinds(windows, { rope })) };
  },
};

/** gpt-oss: experts with biases and a clamped SwiGLU, sinks of attention, windows in every other layer, YaRN. */
import * as v from 'valibot';
import { count, finite, parseConfig } from '../config-schema.js';
import { biasesOf, decoderSpec, type DecoderShape, ggufShape, ggufWindows, hfShape } from './decoder.js';
import { layerKinds, windowsOf } from './decoder.js';
import { allowOnly, ggufExperts, hfExperts, interleavedExpertNames, withExperts } from './experts.js';
import type { Family } from './family.js';
import { llamaLayout, llamaNames } from './llama.js';
import { ggufRope } from './rope-config.js';

const schema = v.looseObject({
  num_local_experts: count,
  num_experts_per_tok: count,
  swiglu_alpha: v.optional(finite, 1.702),
  swiglu_limit: v.optional(finite, 7),
  attention_bias: v.optional(v.boolean(), true),
});
/** Of a configuration that has none. */
const yarn = { rope_type: 'yarn', factor: 32, truncate: false, original_max_position_embeddings: 4096 };

function asGptOss<Shape extends DecoderShape>(shape: Shape, alpha = 1.702, limit = 7): Shape {
  const own = { activation: 'clamped_swiglu', activationAlpha: alpha, activationLimit: limit } as const;
  return {
    ...shape,
    attention: { ...shape.attention, sinks: true },
    feedForward: { ...shape.feedForward, ...own },
  };
}

export const gptOss: Family = {
  modelType: 'gpt_oss',
  ggufArchitecture: 'gpt-oss',
  ...llamaLayout,
  names: {
    ...llamaNames,
    sinks: [{ name: 'self_attn.sinks', ends: ['', ''] }, 'attn_sinks'],
    ffn_norm: ['post_attention_layernorm', 'post_attention_norm'],
    ...interleavedExpertNames('mlp.router'),
  },
  fromConfig: (raw) => {
    const c = parseConfig(schema, raw);
    allowOnly('gpt_oss', c, { hidden_act: ['silu'] });
    const config = { sliding_window: 128, ...c, rope_parameters: c.rope_parameters ?? yarn };
    const plain = hfShape('gpt_oss', config, { headDim: 64, theta: 150000, normEps: 1e-5 });
    const shape = hfExperts('gpt_oss', asGptOss(plain, c.swiglu_alpha, c.swiglu_limit), {
      experts: { count: c.num_local_experts, used: c.num_experts_per_tok, score: 'softmax_of_used' },
    });
    const windows = windowsOf(shape.config, (layer) => layer % 2 === 0);
    const attention = c.attention_bias ? ['q', 'k', 'v', 'o'] : [];
    const bias = biasesOf('router', 'experts.gate', 'experts.up', 'experts.down', ...attention);
    return { ...shape, spec: decoderSpec(shape, layerKinds(windows)), bias };
  },
  fromGguf: (facts) => {
    const plain = asGptOss(ggufShape(facts, 'half'));
    // No key says that its YaRN does not truncate.
    const rope = ggufRope(facts, 'half', plain.attention.headDim, { truncate: false });
    const shape = withExperts({ ...plain, rope }, ggufExperts(facts, { score: 'softmax_of_used' }));
    return { ...shape, spec: decoderSpec(shape, layerKinds(ggufWindows(facts, 2))), bias: 'optional' };
  },
};

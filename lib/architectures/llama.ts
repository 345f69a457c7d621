/** Llama: RMS norm, rotary positions, grouped-query attention, gated SiLU. Most families differ from it in few places. */
import { biasesOf, type DecoderConfig, decoderSpec, ggufShape, hfShape } from './decoder.js';
import { ggufExperts, mixtralExpertNames, mixtralRouter, withExperts } from './experts.js';
import type { Family, Names } from './family.js';

/** What Llama and those after it call their tensors. */
export const llamaNames: Names = {
  'embed.tokens': ['embed_tokens', 'token_embd'],
  attn_norm: ['input_layernorm', 'attn_norm'],
  q: ['self_attn.q_proj', 'attn_q'],
  k: ['self_attn.k_proj', 'attn_k'],
  v: ['self_attn.v_proj', 'attn_v'],
  o: ['self_attn.o_proj', 'attn_output'],
  ffn_norm: ['post_attention_layernorm', 'ffn_norm'],
  gate: ['mlp.gate_proj', 'ffn_gate'],
  up: ['mlp.up_proj', 'ffn_up'],
  down: ['mlp.down_proj', 'ffn_down'],
  final_norm: ['norm', 'output_norm'],
  lm_head: [{ name: 'lm_head', unprefixed: true }, 'output'],
};

/** And where: some checkpoints leave the prefix out. */
export const llamaLayout = {
  layers: ['layers.N.', 'blk.N.'],
  prefixes: ['model.', ''],
} as const;

/** Biases that `attention_bias` and `mlp_bias` speak of. */
export function llamaBias({ attention_bias: attention, mlp_bias: mlp }: DecoderConfig) {
  return biasesOf(...(attention ? ['q', 'k', 'v', 'o'] : []), ...(mlp ? ['gate', 'up', 'down'] : []));
}

export const llama: Family = {
  modelType: 'llama',
  ggufArchitecture: 'llama',
  ggufTurnsHeads: true,
  ...llamaLayout,
  names: { ...llamaNames, ...mixtralExpertNames },
  fromConfig: (raw) => {
    const shape = hfShape('llama', raw);
    return { ...shape, spec: decoderSpec(shape), bias: llamaBias(shape.config) };
  },
  fromGguf: (facts) => {
    // Converters reorder the rows of q and k, so that neighbours rotate together.
    const plain = ggufShape(facts, 'interleaved');
    const isMixtral = facts.keys.count('expert_count', 0) > 0;
    const shape = isMixtral ? withExperts(plain, ggufExperts(facts, mixtralRouter)) : plain;
    return { ...shape, spec: decoderSpec(shape), bias: 'optional' };
  },
};

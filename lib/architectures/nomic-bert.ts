/** nomic-embed-text v1 and v1.5: BERT with rotary positions and gated SiLU, without biases. */
import * as v from 'valibot';
import { count, finite, parseConfig, positive, unsupported } from '../config-schema.js';
import { encoderOf, ggufEncoder, hfEncoder, withTypes } from './encoder.js';
import type { Family } from './family.js';
import { ggufRope, hfRope, ropeConfigEntries, ropeScalingOf } from './rope-config.js';
import { fusedQkv, qkvRows } from './views.js';

/** Published files use the words of GPT-2. */
const publishedSchema = v.looseObject({
  n_embd: v.nullish(count),
  n_inner: v.nullish(count),
  n_layer: v.nullish(count),
  n_head: v.nullish(count),
  layer_norm_epsilon: v.nullish(finite),
  activation_function: v.nullish(v.string()),
  max_trained_positions: v.nullish(count),
  n_positions: v.nullish(count),
  rotary_emb_base: v.nullish(positive),
  rotary_emb_fraction: v.optional(finite, 1),
  rotary_emb_interleaved: v.optional(v.boolean(), false),
  prenorm: v.optional(v.boolean(), false),
  qkv_proj_bias: v.optional(v.boolean(), false),
  moe_every_n_layers: v.nullish(v.number()),
});
const ropeSchema = v.looseObject(ropeConfigEntries);

/** config.json in the words of BERT, and the base of its rotary embedding. Throws UNSUPPORTED_ARCHITECTURE. */
function bertWords(raw: unknown): { words: Record<string, unknown>; theta: number } {
  const given = parseConfig(publishedSchema, raw);
  const refused = {
    'a partial or interleaved rotary embedding':
      given.rotary_emb_fraction !== 1 || given.rotary_emb_interleaved,
    'norms before its layers (prenorm)': given.prenorm,
    'biases (qkv_proj_bias)': given.qkv_proj_bias,
    'experts (moe_every_n_layers)': Boolean(given.moe_every_n_layers),
  };
  const found = Object.entries(refused).find(([, there]) => there);
  if (found) throw unsupported('nomic_bert', found[0]);
  const renamed = {
    hidden_size: given.n_embd,
    intermediate_size: given.n_inner,
    num_hidden_layers: given.n_layer,
    num_attention_heads: given.n_head,
    layer_norm_eps: given.layer_norm_epsilon,
    hidden_act: given.activation_function === 'swiglu' ? 'silu' : given.activation_function,
    max_position_embeddings: given.max_trained_positions ?? given.n_positions,
  };
  const own = Object.fromEntries(Object.entries(renamed).filter(([, value]) => value != null));
  const defaults = { hidden_act: 'silu', max_position_embeddings: 2048 };
  return { words: { ...defaults, ...own, ...(raw as object) }, theta: given.rotary_emb_base ?? 1000 };
}

export const nomicBert: Family = {
  modelType: 'nomic_bert',
  ggufArchitecture: 'nomic-bert',
  layers: ['encoder.layers.N.', 'blk.N.'],
  prefixes: ['', 'bert.'],
  names: {
    'embed.tokens': ['embeddings.word_embeddings', 'token_embd'],
    'embed.types': ['embeddings.token_type_embeddings', 'token_types'],
    'embed.norm': ['emb_ln', 'token_embd_norm'],
    ...fusedQkv(qkvRows, 'attn.Wqkv'),
    o: ['attn.out_proj', 'attn_output'],
    attn_norm: ['norm1', 'attn_output_norm'],
    gate: ['mlp.fc12', 'ffn_gate'],
    up: ['mlp.fc11', 'ffn_up'],
    down: ['mlp.fc2', 'ffn_down'],
    ffn_norm: ['norm2', 'layer_output_norm'],
  },
  fromConfig: (raw) => {
    const { words, theta } = bertWords(raw);
    const plain = hfEncoder('nomic_bert', words);
    const config = parseConfig(ropeSchema, words);
    const rope = hfRope('nomic_bert', config, plain.attention.headDim, {
      defaults: { theta },
      scaling: ropeScalingOf(config),
    });
    const shape = { ...plain, rope, feedForward: { ...plain.feedForward, gated: true } };
    return encoderOf(withTypes(shape, plain.config.type_vocab_size ?? 2), { bias: 'none' });
  },
  fromGguf: (facts) => {
    const plain = ggufEncoder(facts);
    const feedForward = { activation: 'silu', gated: true, size: plain.feedForward.size } as const;
    const rope = ggufRope(facts, 'half', plain.attention.headDim);
    return encoderOf({ ...plain, rope, feedForward }, { bias: 'optional' });
  },
};

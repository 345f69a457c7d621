/** Falcon: layer norms, plain GELU, attention and feed-forward in parallel behind one norm or two; query, key and value lie as one. */
import * as v from 'valibot';
import { count, finite, parseConfig } from '../config-schema.js';
import { decoderSpec, ggufShape, hfShape } from './decoder.js';
import { allowOnly } from './experts.js';
import type { Family } from './family.js';
import { asGptLike, denseNames, gptBias } from './gpt-like.js';
import { fusedQkv, qkvGroups } from './views.js';

const schema = v.looseObject({
  hidden_size: count,
  num_kv_heads: v.nullish(count),
  ffn_hidden_size: v.nullish(count),
  layer_norm_epsilon: v.optional(finite, 1e-5),
  num_ln_in_parallel_attn: v.nullish(count),
  new_decoder_architecture: v.optional(v.boolean(), false),
  multi_query: v.optional(v.boolean(), true),
  parallel_attn: v.optional(v.boolean(), true),
  bias: v.optional(v.boolean(), false),
});

export const falcon: Family = {
  modelType: 'falcon',
  ggufArchitecture: 'falcon',
  layers: ['h.N.', 'blk.N.'],
  prefixes: ['transformer.', ''],
  names: {
    'embed.tokens': ['word_embeddings', 'token_embd'],
    attn_norm: [
      ['ln_attn', 'input_layernorm'],
      ['attn_norm_2', 'attn_norm'],
    ],
    ...fusedQkv(qkvGroups, 'self_attention.query_key_value'),
    o: ['self_attention.dense', 'attn_output'],
    ffn_norm: [['ln_mlp', 'post_attention_layernorm'], 'attn_norm'],
    ...denseNames,
    final_norm: ['ln_f', 'output_norm'],
    lm_head: [{ name: 'lm_head', unprefixed: true }, 'output'],
  },
  fromConfig: (raw) => {
    const c = parseConfig(schema, raw);
    allowOnly('falcon', c, { alibi: [false] });
    const { hidden_size: hidden, new_decoder_architecture: grouped } = c;
    const kvHeads = grouped || !c.multi_query ? c.num_kv_heads : 1;
    const own = { num_key_value_heads: kvHeads, intermediate_size: c.ffn_hidden_size ?? 4 * hidden };
    const given = { ...c, ...own, hidden_act: c.activation };
    const sharedNorm = !grouped || c.num_ln_in_parallel_attn === 1;
    const shape = asGptLike(hfShape('falcon', given, { tied: true, activation: 'gelu' }), {
      normEps: c.layer_norm_epsilon,
      stack: grouped || c.parallel_attn ? { residual: 'parallel', sharedNorm } : { residual: 'pre' },
    });
    return { ...shape, spec: decoderSpec(shape), bias: gptBias(c.bias) };
  },
  fromGguf: (facts) => {
    const sharedNorm = facts.tensor('blk.0.attn_norm_2.weight') === undefined;
    const stack = { residual: 'parallel', sharedNorm } as const;
    const shape = asGptLike(ggufShape(facts, 'half'), { activation: 'gelu_erf', stack });
    return { ...shape, spec: decoderSpec(shape), bias: 'optional' };
  },
};

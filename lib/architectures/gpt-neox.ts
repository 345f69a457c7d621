/** GPT-NeoX and Pythia: layer norms, biases, plain GELU, attention and feed-forward in parallel; each head's query, key and value lie together. */
import * as v from 'valibot';
import { finite, parseConfig, positive } from '../config-schema.js';
import { biasesOf, decoderSpec, ggufShape, hfShape } from './decoder.js';
import type { Family } from './family.js';
import { asGptLike, denseNames } from './gpt-like.js';
import { fusedQkv, qkvGroups } from './views.js';

const schema = v.looseObject({
  layer_norm_eps: v.optional(finite, 1e-5),
  use_parallel_residual: v.optional(v.boolean(), true),
  rotary_pct: v.optional(positive, 0.25),
  rotary_emb_base: v.optional(positive, 10000),
  attention_bias: v.optional(v.boolean(), true),
});

const residual = (parallel: boolean) => ({ residual: parallel ? 'parallel' : 'pre' }) as const;

export const gptNeox: Family = {
  modelType: 'gpt_neox',
  ggufArchitecture: 'gptneox',
  layers: ['layers.N.', 'blk.N.'],
  prefixes: ['gpt_neox.', ''],
  names: {
    'embed.tokens': ['embed_in', 'token_embd'],
    attn_norm: ['input_layernorm', 'attn_norm'],
    ...fusedQkv(qkvGroups, 'attention.query_key_value'),
    o: ['attention.dense', 'attn_output'],
    ffn_norm: ['post_attention_layernorm', 'ffn_norm'],
    ...denseNames,
    final_norm: ['final_layer_norm', 'output_norm'],
    lm_head: [{ name: 'embed_out', unprefixed: true }, 'output'],
  },
  fromConfig: (raw) => {
    const own = parseConfig(schema, raw);
    const defaults = { activation: 'gelu', partial: own.rotary_pct, theta: own.rotary_emb_base };
    const plain = hfShape('gpt_neox', { ...own, num_key_value_heads: null }, defaults);
    const shape = asGptLike(plain, {
      normEps: own.layer_norm_eps,
      stack: residual(own.use_parallel_residual),
    });
    const ignored = [...shape.ignored, /\.attention\.(masked_)?bias$/];
    const bias = biasesOf('up', 'down', ...(own.attention_bias ? ['q', 'k', 'v', 'o'] : []));
    return { ...shape, spec: decoderSpec(shape), bias, ignored };
  },
  fromGguf: (facts) => {
    // The activation is in no key; all of these models have this one.
    const shape = asGptLike(ggufShape(facts, 'half'), {
      activation: 'gelu_erf',
      stack: residual(facts.keys.flag('use_parallel_residual', true)),
    });
    return { ...shape, spec: decoderSpec(shape), bias: 'optional' };
  },
};

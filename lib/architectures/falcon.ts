/** Falcon: layer norms, plain GELU, attention and feed-forward in parallel behind one norm or two; query, key and value lie as one. */
import * as v from 'valibot';
import type { ModelSpec } from '../spec.js';
import { count, finite, parseConfig, unsupported } from '../config-schema.js';
import { biasesOf, decoderSpec, ggufShape, hfShape } from './decoder.js';
import type { Family } from './family.js';
import { fusedQkv, qkvGroups } from './views.js';

const flag = (fallback: boolean) => v.optional(v.boolean(), fallback);
const schema = v.looseObject({
  hidden_size: count,
  num_attention_heads: count,
  num_kv_heads: v.nullish(count),
  ffn_hidden_size: v.nullish(count),
  layer_norm_epsilon: v.optional(finite, 1e-5),
  num_ln_in_parallel_attn: v.nullish(count),
  activation: v.optional(v.string(), 'gelu'),
  alibi: flag(false),
  new_decoder_architecture: flag(false),
  multi_query: flag(true),
  parallel_attn: flag(true),
  bias: flag(false),
});

const fused = 'self_attention.query_key_value';
const isDouble = ({ stack }: ModelSpec) => stack.residual === 'parallel' && !stack.sharedNorm;

export const falcon: Family = {
  modelType: 'falcon',
  ggufArchitecture: 'falcon',
  layers: ['h.N.', 'blk.N.'],
  prefixes: ['transformer.', ''],
  names: {
    'embed.tokens': ['word_embeddings', 'token_embd'],
    attn_norm: [
      (spec) => (isDouble(spec) ? 'ln_attn' : 'input_layernorm'),
      (spec) => (isDouble(spec) ? 'attn_norm_2' : 'attn_norm'),
    ],
    ...fusedQkv(qkvGroups, fused),
    o: ['self_attention.dense', 'attn_output'],
    ffn_norm: [(spec) => (isDouble(spec) ? 'ln_mlp' : 'post_attention_layernorm'), 'attn_norm'],
    up: ['mlp.dense_h_to_4h', 'ffn_up'],
    down: ['mlp.dense_4h_to_h', 'ffn_down'],
    final_norm: ['ln_f', 'output_norm'],
    lm_head: [{ name: 'lm_head', unprefixed: true }, 'output'],
  },
  fromConfig: (raw) => {
    const c = parseConfig(schema, raw);
    if (c.alibi) throw unsupported('falcon', 'a bias by distance (alibi)');
    const { hidden_size: hidden, num_attention_heads: heads, new_decoder_architecture: grouped } = c;
    const kvHeads = grouped || !c.multi_query ? (c.num_kv_heads ?? heads) : 1;
    const own = { num_key_value_heads: kvHeads, intermediate_size: c.ffn_hidden_size ?? 4 * hidden };
    const plain = hfShape('falcon', { ...c, ...own, hidden_act: c.activation }, { tied: true });
    const sharedNorm = !grouped || c.num_ln_in_parallel_attn === 1;
    const inParallel = { residual: 'parallel', sharedNorm } as const;
    const shape = {
      ...plain,
      feedForward: { ...plain.feedForward, gated: false },
      spec: { ...plain.spec, norm: 'layer' as const, normEps: c.layer_norm_epsilon },
      stack: grouped || c.parallel_attn ? inParallel : { residual: 'pre' as const },
    };
    const bias = biasesOf(...(c.bias ? ['q', 'k', 'v', 'o', 'up', 'down'] : []));
    return { ...shape, spec: decoderSpec(shape), bias };
  },
  fromGguf: (facts) => {
    const plain = ggufShape(facts, 'half');
    const sharedNorm = facts.tensor('blk.0.attn_norm_2.weight') === undefined;
    const shape = {
      ...plain,
      feedForward: { activation: 'gelu_erf' as const, size: plain.feedForward.size },
      stack: { residual: 'parallel' as const, sharedNorm },
    };
    return { ...shape, spec: decoderSpec(shape), bias: 'optional' };
  },
};

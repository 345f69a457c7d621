/** GPT-2: layer norm with bias, learned positions, fused QKV, plain GELU; its linears are stored transposed. */
import * as v from 'valibot';
import type { AttentionSpec, FeedForwardSpec, ModelSpec } from '../spec.js';
import { count, finite, parseConfig, unsupported } from '../config-schema.js';
import { activationOf } from './activations.js';
import type { Family, StoredIn } from './family.js';
import { checkSize, checkSpec } from './spec-checks.js';

const configSchema = v.looseObject({
  n_embd: count,
  n_layer: count,
  n_head: count,
  n_inner: v.nullish(count),
  n_positions: v.optional(count, 1024),
  vocab_size: count,
  activation_function: v.optional(v.string(), 'gelu_new'),
  layer_norm_epsilon: v.optional(finite, 1e-5),
  tie_word_embeddings: v.optional(v.boolean(), true),
  scale_attn_weights: v.optional(v.boolean(), true),
  scale_attn_by_inverse_layer_idx: v.optional(v.boolean(), false),
  add_cross_attention: v.optional(v.boolean(), false),
});

/** A Conv1D: [in, out]. */
const transposed = (name: string): StoredIn => ({ name, view: { transposed: true } });

/** The n-th of query, key and value, which are as large as each other. */
function fused(name: string, n: number, transposed?: true): StoredIn {
  return ({ hiddenSize }) => ({ name, view: { firstRow: n * hiddenSize, transposed } });
}

interface Gpt2Shape {
  sizes: Pick<ModelSpec, 'vocabSize' | 'hiddenSize' | 'maxPositions' | 'normEps'>;
  layers: number;
  attention: AttentionSpec;
  feedForward: FeedForwardSpec;
}

function gpt2Spec({ sizes, layers, attention, feedForward }: Gpt2Shape): ModelSpec {
  checkSize('layers', layers);
  return checkSpec({
    ...sizes,
    norm: 'layer',
    attentions: [attention],
    feedForwards: [feedForward],
    embedding: { positions: sizes.maxPositions },
    stack: {
      residual: 'pre',
      layers: Array.from({ length: layers }, () => ({ attention: 0, feedForward: 0 })),
    },
  });
}

const bias = (part: string) => (part === 'lm_head' ? 'none' : 'required');

export const gpt2: Family = {
  modelType: 'gpt2',
  ggufArchitecture: 'gpt2',
  layers: ['h.N.', 'blk.N.'],
  prefixes: ['transformer.', ''],
  names: {
    'embed.tokens': ['wte', 'token_embd'],
    'embed.positions': ['wpe', 'position_embd'],
    attn_norm: ['ln_1', 'attn_norm'],
    q: [fused('attn.c_attn', 0, true), fused('attn_qkv', 0)],
    k: [fused('attn.c_attn', 1, true), fused('attn_qkv', 1)],
    v: [fused('attn.c_attn', 2, true), fused('attn_qkv', 2)],
    o: [transposed('attn.c_proj'), 'attn_output'],
    ffn_norm: ['ln_2', 'ffn_norm'],
    up: [transposed('mlp.c_fc'), 'ffn_up'],
    down: [transposed('mlp.c_proj'), 'ffn_down'],
    final_norm: ['ln_f', 'output_norm'],
    lm_head: [{ name: 'lm_head', unprefixed: true }, 'output'],
  },
  fromConfig: (raw) => {
    const config = parseConfig(configSchema, raw);
    const activation = activationOf('gpt2', config.activation_function);
    if (config.scale_attn_by_inverse_layer_idx) throw unsupported('gpt2', 'scale_attn_by_inverse_layer_idx');
    if (config.add_cross_attention) throw unsupported('gpt2', 'cross attention');
    const { n_embd: hiddenSize, n_head: heads } = config;
    const tied = config.tie_word_embeddings;
    const spec = gpt2Spec({
      sizes: {
        vocabSize: config.vocab_size,
        hiddenSize,
        maxPositions: config.n_positions,
        normEps: config.layer_norm_epsilon,
      },
      layers: config.n_layer,
      attention: {
        heads,
        kvHeads: heads,
        headDim: hiddenSize / heads,
        ...(config.scale_attn_weights ? {} : { scale: 1 }),
      },
      feedForward: { activation, size: config.n_inner ?? 4 * hiddenSize },
    });
    const ignored = [/(^|\.)h\.\d+\.attn\.(masked_)?bias$/];
    return { spec, bias, head: tied ? 'optional' : 'required', tied, ignored };
  },
  /** Its linears are stored [out, in]. */
  fromGguf: ({ keys, embeddingRows }) => {
    const hiddenSize = keys.count('embedding_length');
    const heads = keys.count('attention.head_count');
    const spec = gpt2Spec({
      sizes: {
        vocabSize: embeddingRows,
        hiddenSize,
        maxPositions: keys.count('context_length'),
        normEps: keys.number('attention.layer_norm_epsilon', 1e-5),
      },
      layers: keys.count('block_count'),
      attention: { heads, kvHeads: heads, headDim: heads > 0 ? hiddenSize / heads : 0 },
      feedForward: { activation: 'gelu_tanh', size: keys.count('feed_forward_length') },
    });
    return { spec, bias, head: 'optional' };
  },
};

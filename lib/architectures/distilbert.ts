/** DistilBERT: BERT without token types, under other names. Its GGUF files say "bert". */
import * as v from 'valibot';
import { count, parseConfig } from '../config-schema.js';
import { bertNames } from './bert.js';
import { encoderOf, hfEncoder, withPositions } from './encoder.js';
import type { Family } from './family.js';

const configSchema = v.looseObject({
  dim: v.optional(count, 768),
  hidden_dim: v.optional(count, 3072),
  n_layers: v.optional(count, 6),
  n_heads: v.optional(count, 12),
  activation: v.optional(v.string(), 'gelu'),
  vocab_size: v.optional(count, 30522),
  max_position_embeddings: v.optional(count, 512),
});

export const distilbert: Family = {
  modelType: 'distilbert',
  layers: ['transformer.layer.N.', 'blk.N.'],
  prefixes: ['', 'distilbert.'],
  names: {
    ...bertNames,
    q: ['attention.q_lin', undefined],
    k: ['attention.k_lin', undefined],
    v: ['attention.v_lin', undefined],
    o: ['attention.out_lin', undefined],
    attn_norm: ['sa_layer_norm', undefined],
    up: ['ffn.lin1', undefined],
    down: ['ffn.lin2', undefined],
    ffn_norm: ['output_layer_norm', undefined],
  },
  fromConfig: (raw) => {
    const config = parseConfig(configSchema, raw);
    const shape = hfEncoder('distilbert', {
      vocab_size: config.vocab_size,
      hidden_size: config.dim,
      intermediate_size: config.hidden_dim,
      num_hidden_layers: config.n_layers,
      num_attention_heads: config.n_heads,
      hidden_act: config.activation,
      layer_norm_eps: 1e-12,
    });
    const { ignored, ...rest } = withPositions(shape, config.max_position_embeddings);
    return encoderOf({ ...rest, ignored: [...ignored, /^vocab_(transform|layer_norm|projector)\./] });
  },
};

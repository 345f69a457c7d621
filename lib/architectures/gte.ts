/** GTE v1.5 and multilingual: BERT with rotary positions and gated GELU. Its gate and up have no biases. */
import * as v from 'valibot';
import { parseConfig } from '../config-schema.js';
import { encoderOf, hfEncoder, withTypes } from './encoder.js';
import type { Family } from './family.js';
import { hfRope, ropeConfigEntries, ropeScalingOf } from './rope-config.js';
import { gateUpRows, qkvRows } from './views.js';

const ropeSchema = v.looseObject(ropeConfigEntries);

export const gte: Family = {
  modelType: 'gte',
  layers: ['encoder.layer.N.', 'blk.N.'],
  prefixes: ['', 'new.'],
  names: {
    'embed.tokens': ['embeddings.word_embeddings', undefined],
    'embed.types': ['embeddings.token_type_embeddings', undefined],
    'embed.norm': ['embeddings.LayerNorm', undefined],
    q: [qkvRows('attention.qkv_proj', 0), undefined],
    k: [qkvRows('attention.qkv_proj', 1), undefined],
    v: [qkvRows('attention.qkv_proj', 2), undefined],
    o: ['attention.o_proj', undefined],
    attn_norm: ['attn_ln', undefined],
    up: [gateUpRows('mlp.up_gate_proj', 0), undefined],
    gate: [gateUpRows('mlp.up_gate_proj', 1), undefined],
    down: ['mlp.down_proj', undefined],
    ffn_norm: ['mlp_ln', undefined],
  },
  fromConfig: (raw) => {
    const plain = hfEncoder('gte', { max_position_embeddings: 8192, ...(raw as object) });
    const config = parseConfig(ropeSchema, raw);
    const rope = hfRope('gte', config, plain.attention.headDim, {
      defaults: { theta: 160000 },
      scaling: ropeScalingOf(config),
    });
    const shape = { ...plain, rope, feedForward: { ...plain.feedForward, gated: true } };
    const bias = (part: string) => (part === 'gate' || part === 'up' ? 'none' : 'required');
    return encoderOf(withTypes(shape, plain.config.type_vocab_size ?? 1), { bias });
  },
};

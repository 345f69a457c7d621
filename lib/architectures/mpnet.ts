/** MPNet: RoBERTa without token types, whose scores have a learned bias for each head and bucket of distances. */
import { bertNames } from './bert.js';
import { encoderOf, hfEncoder, layerNorm, withPositions } from './encoder.js';
import type { Family } from './family.js';

/** Whatever the configuration says: the reference asks for so many. */
const buckets = { kind: 'buckets', buckets: 32, maxDistance: 128, bidirectional: true } as const;
/** Whatever its padding token is. */
const firstPosition = 2;

export const mpnet: Family = {
  modelType: 'mpnet',
  layers: ['encoder.layer.N.', 'blk.N.'],
  prefixes: ['', 'mpnet.'],
  names: {
    ...bertNames,
    q: ['attention.attn.q', undefined],
    k: ['attention.attn.k', undefined],
    v: ['attention.attn.v', undefined],
    o: ['attention.attn.o', undefined],
    attn_norm: [layerNorm('attention.LayerNorm'), undefined],
    score_bias: [{ name: 'encoder.relative_attention_bias', shared: true }, undefined],
  },
  fromConfig: (raw) => {
    const plain = hfEncoder('mpnet', raw);
    const shape = { ...plain, attention: { ...plain.attention, scoreBias: buckets } };
    return encoderOf(withPositions(shape, shape.config.max_position_embeddings, firstPosition));
  },
};

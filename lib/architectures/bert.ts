/** BERT, as MiniLM, BGE, E5 and GTE have it: learned positions, token types, norms behind the sums, GELU, biases everywhere. */
import { unsupported } from '../config-schema.js';
import { encoderOf, ggufEncoder, hfEncoder, layerNorm, withPositions, withTypes } from './encoder.js';
import type { Family, GgufFacts, Names } from './family.js';

export const bertNames: Names = {
  'embed.tokens': ['embeddings.word_embeddings', 'token_embd'],
  'embed.positions': ['embeddings.position_embeddings', 'position_embd'],
  'embed.types': ['embeddings.token_type_embeddings', 'token_types'],
  'embed.norm': [layerNorm('embeddings.LayerNorm'), 'token_embd_norm'],
  q: ['attention.self.query', 'attn_q'],
  k: ['attention.self.key', 'attn_k'],
  v: ['attention.self.value', 'attn_v'],
  o: ['attention.output.dense', 'attn_output'],
  attn_norm: [layerNorm('attention.output.LayerNorm'), 'attn_output_norm'],
  up: ['intermediate.dense', 'ffn_up'],
  down: ['output.dense', 'ffn_down'],
  ffn_norm: [layerNorm('output.LayerNorm'), 'layer_output_norm'],
};

/** `offset` rows of the table of positions come before the first one's. */
export function bertFromConfig(family: string, raw: unknown, offset = 0) {
  const shape = hfEncoder(family, raw);
  const {
    position_embedding_type: kind,
    type_vocab_size: types,
    max_position_embeddings: rows,
  } = shape.config;
  if (kind && kind !== 'absolute') throw unsupported(family, `positions of the type "${kind}"`);
  return encoderOf(withTypes(withPositions(shape, rows, offset), types ?? 2));
}

/** All whose files say "bert": converters leave out the rows before the first position. */
export function bertFromGguf(facts: GgufFacts) {
  return encoderOf(withPositions(ggufEncoder(facts), facts.keys.count('context_length')));
}

export const bert: Family = {
  modelType: 'bert',
  ggufArchitecture: 'bert',
  layers: ['encoder.layer.N.', 'blk.N.'],
  prefixes: ['', 'bert.'],
  names: bertNames,
  fromConfig: (raw) => bertFromConfig('bert', raw),
  fromGguf: bertFromGguf,
};

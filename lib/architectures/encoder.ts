/**
 * What encoders have in common: tokens see later ones, there is no head, and hidden states are those of the last layer. And
 * BERT's shape, from which most of them differ in few places: learned positions, token types, norms behind the sums.
 */
import * as v from 'valibot';
import { count, finite, index, parseConfig, unsupported } from '../config-schema.js';
import { activationOf } from './activations.js';
import { type DecoderShape, decoderSpec, ggufShape, type LayerKind } from './decoder.js';
import type { Configured, GgufFacts, Stored } from './family.js';

const configSchema = v.looseObject({
  vocab_size: count,
  hidden_size: count,
  intermediate_size: count,
  num_hidden_layers: count,
  num_attention_heads: count,
  hidden_act: v.optional(v.string(), 'gelu'),
  max_position_embeddings: v.optional(count, 512),
  type_vocab_size: v.nullish(index),
  layer_norm_eps: v.optional(finite, 1e-12),
  position_embedding_type: v.nullish(v.string()),
  is_decoder: v.nullish(v.boolean()),
  add_cross_attention: v.nullish(v.boolean()),
});
export type BertConfig = v.InferOutput<typeof configSchema>;

/** Of parts that predict tokens, or make one vector of a text: nothing here reads them. */
const otherHeads = [/(^|\.)position_ids$/, /(^|\.)pooler\./, /^(cls|lm_head)\./];

/** Any shape without a causal mask and without a head. */
export function asEncoder<Shape extends DecoderShape>(shape: Shape): Shape {
  return {
    ...shape,
    attention: { ...shape.attention, causal: false },
    spec: { ...shape.spec, head: 'none' },
    head: 'none',
    tied: false,
    ignored: [...shape.ignored, ...otherHeads],
  };
}

/** With norms behind the sums, the embedding's first: hidden states of the last layer are normed already. */
export function withPostNorms<Shape extends DecoderShape>(shape: Shape): Shape {
  const { spec } = shape;
  return {
    ...shape,
    spec: { ...spec, norm: 'layer', finalNorm: false, embedding: { ...spec.embedding, norm: true } },
    stack: { residual: 'add_norm' },
  };
}

/** A table of so many rows; position 0 has the row `offset`. */
export function withPositions<Shape extends DecoderShape>(shape: Shape, rows: number, offset = 0): Shape {
  const positions = { positions: rows, ...(offset === 0 ? {} : { positionOffset: offset }) };
  const { spec } = shape;
  return {
    ...shape,
    spec: { ...spec, maxPositions: rows - offset, embedding: { ...spec.embedding, ...positions } },
  };
}

export function withTypes<Shape extends DecoderShape>(shape: Shape, types: number): Shape {
  if (types === 0) return shape;
  const { spec } = shape;
  return { ...shape, spec: { ...spec, embedding: { ...spec.embedding, types } } };
}

/**
 * From config.json in the words of BERT, without positions and token types. Throws MODEL_FORMAT, and
 * UNSUPPORTED_ARCHITECTURE for a BERT that generates.
 */
export function hfEncoder(family: string, raw: unknown): DecoderShape & { config: BertConfig } {
  const config = parseConfig(configSchema, raw);
  if (config.is_decoder || config.add_cross_attention) throw unsupported(family, 'a decoder (is_decoder)');
  const { hidden_size: hiddenSize, num_attention_heads: heads } = config;
  return withPostNorms(
    asEncoder({
      config,
      attention: { heads, kvHeads: heads, headDim: hiddenSize / heads },
      feedForward: {
        activation: activationOf(family, config.hidden_act),
        size: config.intermediate_size,
      },
      rope: null,
      layers: config.num_hidden_layers,
      spec: {
        vocabSize: config.vocab_size,
        hiddenSize,
        maxPositions: config.max_position_embeddings,
        norm: 'layer',
        normEps: config.layer_norm_eps,
      },
      stack: { residual: 'pre' },
      head: 'none',
      ignored: [],
    }),
  );
}

/** From GGUF metadata, with the token types that the file has. Throws UNSUPPORTED_ARCHITECTURE for another kind of attention. */
export function ggufEncoder(facts: GgufFacts): DecoderShape {
  const { keys, tensor } = facts;
  if (keys.flag('attention.causal', false)) throw unsupported(keys.prefix, 'causal attention');
  const plain = ggufShape(facts, 'half');
  const shape = withPostNorms(asEncoder({ ...plain, rope: null }));
  const types = (tensor('token_types.weight')?.length ?? 0) / plain.spec.hiddenSize;
  return withTypes(
    { ...shape, feedForward: { activation: 'gelu_erf', size: plain.feedForward.size } },
    types,
  );
}

/** The spec of a shape, and what a checkpoint of it has: every linear has a bias, unless `bias` says otherwise. */
export function encoderOf(
  shape: DecoderShape,
  { bias = 'required', kindOf }: { bias?: Configured['bias']; kindOf?: (layer: number) => LayerKind } = {},
): Configured {
  return { spec: decoderSpec(shape, kindOf), bias, head: 'none', ignored: shape.ignored };
}

/** Weight and bias, which older files call gamma and beta. */
export function layerNorm(name: string): Stored {
  return [name, { name, ends: ['.gamma', '.beta'] }];
}

/**
 * Jina Embeddings 2: BERT without positions, whose scores fall with distance (ALiBi), with gated GELU. Its published files call
 * themselves "bert" of the position type "alibi". Refuses the form of the code model, which has norms of queries and keys.
 */
import * as v from 'valibot';
import { parseConfig, unsupported } from '../config-schema.js';
import type { FeedForwardSpec } from '../spec.js';
import { bertNames } from './bert.js';
import type { DecoderShape } from './decoder.js';
import { encoderOf, ggufEncoder, hfEncoder, layerNorm, withTypes } from './encoder.js';
import type { Configured, Family } from './family.js';
import { gateUpRows } from './views.js';

const modelType = 'jina-bert-v2';

const configSchema = v.looseObject({
  feed_forward_type: v.optional(v.string(), 'geglu'),
  auto_map: v.nullish(v.record(v.string(), v.unknown())),
});

const activations: ReadonlyMap<string, FeedForwardSpec['activation']> = new Map([
  ['geglu', 'gelu_erf'],
  ['reglu', 'relu'],
]);

/** What config.json calls a model, or this family where it is a BERT with slopes. */
export function jinaOr(type: unknown, { position_embedding_type: kind }: Readonly<Record<string, unknown>>) {
  return type === 'bert' && kind === 'alibi' ? modelType : type;
}

/**
 * One for each head [heads], in float32: 2^(-8 / n), its square and so on for a power of two n; of other numbers the largest
 * power of two below, then every other one of twice that.
 */
function slopesOf(heads: number): number[] {
  const power = 2 ** Math.floor(Math.log2(heads));
  const ratio = (n: number) => 2 ** (-8 / n);
  return Array.from({ length: heads }, (_, head) =>
    Math.fround(head < power ? ratio(power) ** (head + 1) : ratio(2 * power) ** (2 * (head - power) + 1)),
  );
}

function jinaBert(shape: DecoderShape, activation: FeedForwardSpec['activation']): Configured {
  const slopes = slopesOf(shape.attention.heads);
  const attention = { ...shape.attention, scoreBias: { kind: 'alibi', slopes } as const };
  const feedForward = { activation, gated: true, size: shape.feedForward.size };
  const bias = (part: string) => (part === 'gate' || part === 'up' ? 'none' : 'required');
  return encoderOf({ ...shape, attention, feedForward }, { bias });
}

export const jinaBertV2: Family = {
  modelType,
  ggufArchitecture: modelType,
  layers: ['encoder.layer.N.', 'blk.N.'],
  prefixes: ['', 'bert.'],
  names: {
    ...bertNames,
    gate: [gateUpRows('mlp.gated_layers', 0), gateUpRows('ffn_up', 0)],
    up: [gateUpRows('mlp.gated_layers', 1), gateUpRows('ffn_up', 1)],
    down: ['mlp.wo', 'ffn_down'],
    ffn_norm: [layerNorm('mlp.layernorm'), 'layer_output_norm'],
  },
  fromConfig: (raw) => {
    const { feed_forward_type: kind, auto_map: code } = parseConfig(configSchema, raw);
    if (JSON.stringify(code ?? {}).includes('qk-post-norm')) {
      throw unsupported(modelType, 'norms of queries and keys (jina-bert-v2-qk-post-norm)');
    }
    const activation = activations.get(kind);
    if (activation === undefined) throw unsupported(modelType, `feed-forwards of the type "${kind}"`);
    const shape = hfEncoder(modelType, raw);
    return jinaBert(withTypes(shape, shape.config.type_vocab_size ?? 2), activation);
  },
  fromGguf: (facts) => {
    const steepness = facts.keys.number('attention.max_alibi_bias', 8);
    if (steepness !== 8) throw unsupported(modelType, `slopes of another kind (max_alibi_bias ${steepness})`);
    return jinaBert(ggufEncoder(facts), 'gelu_erf');
  },
};

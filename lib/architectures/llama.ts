/** Llama and what shares its shape: RMS norm, rotary positions, grouped-query attention, gated SiLU. */
import * as v from 'valibot';
import type { ModelSpec } from '../native.js';
import { count, finite, parseConfig, positive, unsupported } from './config-schema.js';
import type { GgufKeys } from './gguf-keys.js';
import { type ArchitecturePlan, linearSlots, normSlots, type TensorSlot } from './plan.js';
import { plainFrequencies, ropeFrequencies, ropeScalingSchema } from './rope.js';
import { checkSpec } from './spec-checks.js';

const configSchema = v.looseObject({
  hidden_size: count,
  intermediate_size: count,
  num_hidden_layers: count,
  num_attention_heads: count,
  num_key_value_heads: v.nullish(count),
  head_dim: v.nullish(count),
  hidden_act: v.optional(v.string(), 'silu'),
  vocab_size: count,
  max_position_embeddings: v.optional(count, 2048),
  rms_norm_eps: v.optional(finite, 1e-6),
  rope_theta: v.optional(positive),
  rope_scaling: v.nullish(ropeScalingSchema),
  /** Newer files keep theta and scaling together here. */
  rope_parameters: v.nullish(ropeScalingSchema),
  partial_rotary_factor: v.nullish(finite),
  attention_bias: v.optional(v.boolean(), false),
  mlp_bias: v.optional(v.boolean(), false),
  tie_word_embeddings: v.optional(v.boolean(), false),
});

/** Names without the layer prefix, and the biases a checkpoint has. */
interface Naming {
  embed: string;
  finalNorm: string;
  head: string;
  layer: (n: number) => string;
  attnNorm: string;
  ffnNorm: string;
  attention: readonly [q: string, k: string, v: string, o: string];
  ffn: readonly [gate: string, up: string, down: string];
  attentionBias?: 'required' | 'optional';
  ffnBias?: 'required' | 'optional';
  lmHead: 'required' | 'optional' | 'tied';
}

const hfNaming = {
  embed: 'model.embed_tokens',
  finalNorm: 'model.norm',
  head: 'lm_head',
  layer: (n: number) => `model.layers.${n}.`,
  attnNorm: 'input_layernorm',
  ffnNorm: 'post_attention_layernorm',
  attention: ['self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj', 'self_attn.o_proj'],
  ffn: ['mlp.gate_proj', 'mlp.up_proj', 'mlp.down_proj'],
} as const;

const ggufNaming = {
  embed: 'token_embd',
  finalNorm: 'output_norm',
  head: 'output',
  layer: (n: number) => `blk.${n}.`,
  attnNorm: 'attn_norm',
  ffnNorm: 'ffn_norm',
  attention: ['attn_q', 'attn_k', 'attn_v', 'attn_output'],
  ffn: ['ffn_gate', 'ffn_up', 'ffn_down'],
  attentionBias: 'optional',
  ffnBias: 'optional',
  lmHead: 'optional',
} as const;

function layerSlots(spec: ModelSpec, n: number, naming: Naming): TensorSlot[] {
  const { hiddenSize: hidden, ffnSize: ffn } = spec;
  const queryRows = spec.nHeads * spec.headDim;
  const keyRows = spec.nKvHeads * spec.headDim;
  const to = `layers.${n}.`;
  const from = (name: string): string[] => [naming.layer(n) + name];
  const [q, k, v, o] = naming.attention;
  const [gate, up, down] = naming.ffn;
  const attention = { bias: naming.attentionBias };
  const mlp = { bias: naming.ffnBias };
  return [
    ...normSlots(`${to}attn_norm`, from(naming.attnNorm), hidden, 'rms'),
    ...linearSlots(`${to}q`, from(q), [queryRows, hidden], attention),
    ...linearSlots(`${to}k`, from(k), [keyRows, hidden], attention),
    ...linearSlots(`${to}v`, from(v), [keyRows, hidden], attention),
    ...linearSlots(`${to}o`, from(o), [hidden, queryRows], attention),
    ...normSlots(`${to}ffn_norm`, from(naming.ffnNorm), hidden, 'rms'),
    ...linearSlots(`${to}gate`, from(gate), [ffn, hidden], mlp),
    ...linearSlots(`${to}up`, from(up), [ffn, hidden], mlp),
    ...linearSlots(`${to}down`, from(down), [hidden, ffn], mlp),
  ];
}

function* allSlots(spec: ModelSpec, naming: Naming): Iterable<TensorSlot> {
  const table = [spec.vocabSize, spec.hiddenSize];
  yield { canonical: 'embed.tokens', names: [`${naming.embed}.weight`], shape: table };
  for (let n = 0; n < spec.nLayers; ++n) yield* layerSlots(spec, n, naming);
  yield* normSlots('final_norm', [naming.finalNorm], spec.hiddenSize, 'rms');
  if (naming.lmHead !== 'tied') {
    const optional = naming.lmHead === 'optional';
    yield { canonical: 'lm_head.weight', names: [`${naming.head}.weight`], shape: table, optional };
  }
}

const base = { norm: 'rms', activation: 'silu', gated: true } as const;

/** From a Hugging Face `config.json` of model_type "llama". */
export function llamaFromConfig(raw: unknown): ArchitecturePlan {
  const config = parseConfig(configSchema, raw);
  if (config.hidden_act !== 'silu') throw unsupported('llama', `the activation "${config.hidden_act}"`);
  if ((config.partial_rotary_factor ?? 1) !== 1) throw unsupported('llama', 'a partial rotary embedding');
  const headDim = config.head_dim ?? config.hidden_size / config.num_attention_heads;
  const scaling = config.rope_parameters ?? config.rope_scaling;
  const theta = config.rope_parameters?.rope_theta ?? config.rope_theta ?? 10000;
  const spec = checkSpec({
    ...base,
    vocabSize: config.vocab_size,
    hiddenSize: config.hidden_size,
    nLayers: config.num_hidden_layers,
    nHeads: config.num_attention_heads,
    nKvHeads: config.num_key_value_heads ?? config.num_attention_heads,
    headDim,
    ffnSize: config.intermediate_size,
    maxPositions: config.max_position_embeddings,
    normEps: config.rms_norm_eps,
    rope: { kind: 'half', inverseFrequencies: new Float32Array() },
  });
  spec.rope = { kind: 'half', inverseFrequencies: ropeFrequencies(theta, headDim, scaling) };
  const naming: Naming = {
    ...hfNaming,
    attentionBias: config.attention_bias ? 'required' : undefined,
    ffnBias: config.mlp_bias ? 'required' : undefined,
    lmHead: config.tie_word_embeddings ? 'tied' : 'required',
  };
  const ignored = [/\.rotary_emb\.inv_freq$/, ...(config.tie_word_embeddings ? [/^lm_head\.weight$/] : [])];
  return { architecture: 'llama', spec, slots: () => allSlots(spec, naming), ignored };
}

function ggufRope(keys: GgufKeys, headDim: number): Float32Array {
  const theta = keys.number('rope.freq_base', 10000);
  if (theta <= 0) throw unsupported('llama', `a rotary base of ${theta}`);
  if (keys.count('rope.dimension_count', headDim) !== headDim) {
    throw unsupported('llama', 'a partial rotary embedding');
  }
  const kind = keys.text('rope.scaling.type') ?? 'none';
  const factor = keys.number('rope.scaling.factor', keys.number('rope.scale_linear', 1));
  if (kind === 'linear' || (kind === 'none' && factor !== 1)) {
    return ropeFrequencies(theta, headDim, { rope_type: 'linear', factor });
  }
  return kind === 'none'
    ? plainFrequencies(theta, headDim)
    : ropeFrequencies(theta, headDim, { rope_type: kind });
}

/** From GGUF metadata of the architecture "llama"; `embeddingRows` are those of the stored table. */
export function llamaFromGguf(keys: GgufKeys, embeddingRows: number): ArchitecturePlan {
  if (keys.count('expert_count', 0) > 0) throw unsupported('llama', 'a mixture of experts');
  const hiddenSize = keys.count('embedding_length');
  const nHeads = keys.count('attention.head_count');
  const headDim = keys.count('attention.key_length', nHeads > 0 ? hiddenSize / nHeads : 0);
  if (keys.count('attention.value_length', headDim) !== headDim) {
    throw unsupported('llama', 'values of another size than keys');
  }
  const spec = checkSpec({
    ...base,
    vocabSize: embeddingRows,
    hiddenSize,
    nLayers: keys.count('block_count'),
    nHeads,
    nKvHeads: keys.count('attention.head_count_kv', nHeads),
    headDim,
    ffnSize: keys.count('feed_forward_length'),
    maxPositions: keys.count('context_length'),
    normEps: keys.number('attention.layer_norm_rms_epsilon', 1e-5),
    rope: { kind: 'interleaved', inverseFrequencies: new Float32Array() },
  });
  spec.rope = { kind: 'interleaved', inverseFrequencies: ggufRope(keys, headDim) };
  return { architecture: 'llama', spec, slots: () => allSlots(spec, ggufNaming), ignored: [] };
}

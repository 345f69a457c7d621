/** GPT-2: layer norm with bias, learned positions, fused QKV, plain GELU; its linears are stored transposed. */
import * as v from 'valibot';
import type { ModelSpec } from '../native.js';
import { count, finite, parseConfig, unsupported } from './config-schema.js';
import type { GgufKeys } from './gguf-keys.js';
import { type ArchitecturePlan, linearSlots, normSlots, type TensorSlot } from './plan.js';
import { checkSpec } from './spec-checks.js';

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

const activations: ReadonlyMap<string, ModelSpec['activation']> = new Map([
  ['gelu_new', 'gelu_tanh'],
  ['gelu_pytorch_tanh', 'gelu_tanh'],
  ['gelu_fast', 'gelu_tanh'],
  ['gelu', 'gelu_erf'],
]);

interface Naming {
  /** Prefixes that a checkpoint may put before every name. */
  prefixes: readonly string[];
  embed: string;
  positions: string;
  finalNorm: string;
  /** Full names, `.weight` left out. */
  head: readonly string[];
  layer: (n: number) => string;
  norms: readonly [attention: string, ffn: string];
  qkv: string;
  attentionOut: string;
  ffn: readonly [up: string, down: string];
  transposed: boolean;
  lmHead: 'required' | 'optional' | 'tied';
}

const hfNaming = {
  prefixes: ['transformer.', ''],
  embed: 'wte',
  positions: 'wpe',
  finalNorm: 'ln_f',
  head: ['lm_head'],
  layer: (n: number) => `h.${n}.`,
  norms: ['ln_1', 'ln_2'],
  qkv: 'attn.c_attn',
  attentionOut: 'attn.c_proj',
  ffn: ['mlp.c_fc', 'mlp.c_proj'],
  transposed: true,
} as const;

const ggufNaming = {
  prefixes: [''],
  embed: 'token_embd',
  positions: 'position_embd',
  finalNorm: 'output_norm',
  head: ['output'],
  layer: (n: number) => `blk.${n}.`,
  norms: ['attn_norm', 'ffn_norm'],
  qkv: 'attn_qkv',
  attentionOut: 'attn_output',
  ffn: ['ffn_up', 'ffn_down'],
  transposed: false,
  lmHead: 'optional',
} as const;

function layerSlots(spec: ModelSpec, n: number, naming: Naming): TensorSlot[] {
  const { hiddenSize: hidden, ffnSize: ffn } = spec;
  const to = `layers.${n}.`;
  const from = (name: string): string[] => naming.prefixes.map((prefix) => prefix + naming.layer(n) + name);
  const linear = { bias: 'required', transposed: naming.transposed } as const;
  const [up, down] = naming.ffn;
  const qkv = ['q', 'k', 'v'].flatMap((part, i) =>
    linearSlots(`${to}${part}`, from(naming.qkv), [hidden, hidden], {
      ...linear,
      rowOffset: i * hidden,
      storedRows: 3 * hidden,
    }),
  );
  return [
    ...normSlots(`${to}attn_norm`, from(naming.norms[0]), hidden, 'layer'),
    ...qkv,
    ...linearSlots(`${to}o`, from(naming.attentionOut), [hidden, hidden], linear),
    ...normSlots(`${to}ffn_norm`, from(naming.norms[1]), hidden, 'layer'),
    ...linearSlots(`${to}up`, from(up), [ffn, hidden], linear),
    ...linearSlots(`${to}down`, from(down), [hidden, ffn], linear),
  ];
}

function* allSlots(spec: ModelSpec, naming: Naming): Iterable<TensorSlot> {
  const { vocabSize, hiddenSize, maxPositions } = spec;
  const from = (name: string): string[] => naming.prefixes.map((prefix) => prefix + name);
  yield { canonical: 'embed.tokens', names: from(`${naming.embed}.weight`), shape: [vocabSize, hiddenSize] };
  yield {
    canonical: 'embed.positions',
    names: from(`${naming.positions}.weight`),
    shape: [maxPositions, hiddenSize],
  };
  for (let n = 0; n < spec.nLayers; ++n) yield* layerSlots(spec, n, naming);
  yield* normSlots('final_norm', from(naming.finalNorm), hiddenSize, 'layer');
  if (naming.lmHead !== 'tied') {
    yield {
      canonical: 'lm_head.weight',
      names: naming.head.map((name) => `${name}.weight`),
      shape: [vocabSize, hiddenSize],
      optional: naming.lmHead === 'optional',
    };
  }
}

const base = { norm: 'layer', gated: false } as const;

/** From a Hugging Face `config.json` of model_type "gpt2". */
export function gpt2FromConfig(raw: unknown): ArchitecturePlan {
  const config = parseConfig(configSchema, raw);
  const activation = activations.get(config.activation_function);
  if (activation === undefined) throw unsupported('gpt2', `the activation "${config.activation_function}"`);
  if (config.scale_attn_by_inverse_layer_idx) throw unsupported('gpt2', 'scale_attn_by_inverse_layer_idx');
  if (config.add_cross_attention) throw unsupported('gpt2', 'cross attention');
  const spec = checkSpec({
    ...base,
    activation,
    vocabSize: config.vocab_size,
    hiddenSize: config.n_embd,
    nLayers: config.n_layer,
    nHeads: config.n_head,
    nKvHeads: config.n_head,
    headDim: config.n_embd / config.n_head,
    ffnSize: config.n_inner ?? 4 * config.n_embd,
    maxPositions: config.n_positions,
    normEps: config.layer_norm_epsilon,
    ...(config.scale_attn_weights ? {} : { attentionScale: 1 }),
  });
  const tied = config.tie_word_embeddings;
  const naming: Naming = { ...hfNaming, lmHead: tied ? 'tied' : 'required' };
  const ignored = [/(^|\.)h\.\d+\.attn\.(masked_)?bias$/, ...(tied ? [/^lm_head\.weight$/] : [])];
  return { architecture: 'gpt2', spec, slots: () => allSlots(spec, naming), ignored };
}

/** From GGUF metadata of the architecture "gpt2", whose linears are stored [out, in]. */
export function gpt2FromGguf(keys: GgufKeys, embeddingRows: number): ArchitecturePlan {
  const hiddenSize = keys.count('embedding_length');
  const nHeads = keys.count('attention.head_count');
  const spec = checkSpec({
    ...base,
    activation: 'gelu_tanh',
    vocabSize: embeddingRows,
    hiddenSize,
    nLayers: keys.count('block_count'),
    nHeads,
    nKvHeads: nHeads,
    headDim: nHeads > 0 ? hiddenSize / nHeads : 0,
    ffnSize: keys.count('feed_forward_length'),
    maxPositions: keys.count('context_length'),
    normEps: keys.number('attention.layer_norm_epsilon', 1e-5),
  });
  return { architecture: 'gpt2', spec, slots: () => allSlots(spec, ggufNaming), ignored: [] };
}

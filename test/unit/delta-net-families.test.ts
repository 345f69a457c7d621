/** Families with gated delta nets: published configurations to specs, names of tensors, what is left out and what is refused. */
import { describe, expect, test } from 'vitest';
import { planFromConfig, planFromGguf } from '../../lib/architectures/index.js';
import { generationDefaults } from '../../lib/formats/generation-config.js';
import { layerKindsOf, layerKindText } from '../../lib/layer-kinds.js';
import type { MetadataValue } from '../../lib/native.js';
import type { ModelSpec } from '../../lib/spec.js';

const linear = {
  full_attention_interval: 4,
  linear_conv_kernel_dim: 4,
  linear_key_head_dim: 128,
  linear_value_head_dim: 128,
  linear_num_key_heads: 16,
  linear_num_value_heads: 32,
};
/** In the words of Qwen3-Next-80B-A3B's own file. */
const next = {
  model_type: 'qwen3_next',
  hidden_size: 2048,
  intermediate_size: 5120,
  num_hidden_layers: 48,
  num_attention_heads: 16,
  num_key_value_heads: 2,
  head_dim: 256,
  hidden_act: 'silu',
  vocab_size: 151936,
  max_position_embeddings: 262144,
  rms_norm_eps: 1e-6,
  rope_theta: 10000000,
  partial_rotary_factor: 0.25,
  rope_scaling: null,
  attention_bias: false,
  tie_word_embeddings: false,
  ...linear,
  decoder_sparse_step: 1,
  mlp_only_layers: [],
  num_experts: 512,
  num_experts_per_tok: 10,
  moe_intermediate_size: 512,
  shared_expert_intermediate_size: 512,
  norm_topk_prob: true,
};
/** As the files of Qwen3.5 have it. */
const text = {
  model_type: 'qwen3_5_text',
  hidden_size: 4096,
  intermediate_size: 12288,
  num_hidden_layers: 4,
  num_attention_heads: 16,
  num_key_value_heads: 4,
  head_dim: 256,
  vocab_size: 248320,
  max_position_embeddings: 262144,
  eos_token_id: 248044,
  layer_types: ['linear_attention', 'linear_attention', 'linear_attention', 'full_attention'],
  ...linear,
  mtp_num_hidden_layers: 1,
  rope_parameters: {
    rope_type: 'default',
    rope_theta: 10000000,
    partial_rotary_factor: 0.25,
    mrope_section: [11, 11, 10],
    mrope_interleaved: true,
  },
};
const whole = {
  model_type: 'qwen3_5',
  text_config: text,
  vision_config: { model_type: 'qwen3_5', depth: 27 },
  tie_word_embeddings: false,
};
const moeText = {
  ...text,
  model_type: 'qwen3_5_moe_text',
  intermediate_size: undefined,
  num_experts: 256,
  num_experts_per_tok: 8,
  moe_intermediate_size: 512,
  shared_expert_intermediate_size: 512,
};

/** The layers that have no state. */
const fullOf = ({ stack }: ModelSpec) =>
  [...stack.layers.keys()].filter((n) => stack.layers[n]!.state === undefined);
const placesOf = (config: Record<string, unknown>, canonical: string) =>
  planFromConfig(config).source(canonical)?.places ?? [];
const isLeftOut = (config: Record<string, unknown>, tensor: string) =>
  planFromConfig(config).ignored.some((one) => one.test(tensor));
const unsupported = (message: string) =>
  expect.objectContaining({ code: 'UNSUPPORTED_ARCHITECTURE', message: expect.stringContaining(message) });

describe('Qwen3-Next', () => {
  test('three layers of four have a delta net, the fourth a gated attention, all have experts', () => {
    const { spec } = planFromConfig(next);
    expect(spec.stack.layers.filter(({ state }) => state === 0)).toHaveLength(36);
    expect(fullOf(spec).slice(0, 3)).toEqual([3, 7, 11]);
    expect(spec.states).toEqual([
      { kind: 'delta_net', taps: 4, keyHeads: 16, valueHeads: 32, keyDim: 128, valueDim: 128 },
    ]);
    expect(spec.attentions).toEqual([
      { heads: 16, kvHeads: 2, headDim: 256, headNorm: { kind: 'per_head' }, outputGate: true, rope: 0 },
    ]);
    expect(spec.ropes![0]!.inverseFrequencies).toHaveLength(32);
    expect(layerKindsOf(spec).map(layerKindText)).toEqual([
      'a gated delta net, 10 of 512 experts of 512 beside a shared one of 512',
      'all positions, 10 of 512 experts of 512 beside a shared one of 512',
    ]);
    const experts = { renormalize: true, score: 'softmax', sharedGate: true };
    expect(spec.feedForwards).toMatchObject([{ experts }]);
    const { norm_topk_prob: _norm, full_attention_interval: _interval, ...silent } = next;
    expect(planFromConfig(silent).spec).toEqual(spec);
    expect(planFromConfig({ ...next, norm_topk_prob: false }).spec.feedForwards).toMatchObject([
      { experts: { renormalize: false } },
    ]);
    expect(planFromConfig({ ...next, mlp_only_layers: [1] }).spec.stack.layers[1]!.feedForward).toBe(1);
  });

  test('rows of each key head stand together, each query has its gate behind it', () => {
    const qkvz = 'model.layers.0.linear_attn.in_proj_qkvz.weight';
    const rows = (part: string) => placesOf(next, `layers.0.delta_${part}.weight`)[0];
    const stride = 2 * 128 + 2 * 2 * 128;
    expect(rows('q')).toEqual({ name: qkvz, view: { firstRow: 0, group: 128, stride } });
    expect(rows('k')).toEqual({ name: qkvz, view: { firstRow: 128, group: 128, stride } });
    expect(rows('v')).toEqual({ name: qkvz, view: { firstRow: 256, group: 256, stride } });
    expect(rows('z')).toEqual({ name: qkvz, view: { firstRow: 512, group: 256, stride } });
    const ba = 'model.layers.0.linear_attn.in_proj_ba.weight';
    expect(rows('b')).toEqual({ name: ba, view: { firstRow: 0, group: 2, stride: 4 } });
    expect(rows('a')).toEqual({ name: ba, view: { firstRow: 2, group: 2, stride: 4 } });
    const query = { name: 'model.layers.3.self_attn.q_proj.weight' };
    expect(placesOf(next, 'layers.3.q.weight')[0]).toEqual({
      ...query,
      view: { firstRow: 0, group: 256, stride: 512 },
    });
    expect(placesOf(next, 'layers.3.attn_gate.weight')[0]).toEqual({
      ...query,
      view: { firstRow: 256, group: 256, stride: 512 },
    });
  });

  test('norms are stored less one, but for that of a delta net; a rate is stored as its logarithm', () => {
    for (const name of ['layers.0.attn_norm', 'layers.0.ffn_norm', 'layers.3.q_norm', 'final_norm']) {
      expect(placesOf(next, `${name}.weight`)[0]!.view).toEqual({ addOne: true });
    }
    expect(placesOf(next, 'layers.0.delta_norm.weight')[0]).toEqual({
      name: 'model.layers.0.linear_attn.norm.weight',
    });
    expect(placesOf(next, 'layers.0.delta_rate')[0]).toEqual({
      name: 'model.layers.0.linear_attn.A_log',
      view: { negativeExp: true },
    });
    expect(placesOf(next, 'layers.0.delta_dt')[0]!.name).toBe('model.layers.0.linear_attn.dt_bias');
  });

  test('biases of attention, where it has some', () => {
    const biased = { ...next, attention_bias: true };
    expect(placesOf(next, 'layers.3.q.bias')).toEqual([]);
    expect(placesOf(biased, 'layers.3.attn_gate.bias')[0]).toEqual({
      name: 'model.layers.3.self_attn.q_proj.bias',
      view: { firstRow: 256, group: 256, stride: 512 },
    });
    // A delta net's output linear has none.
    expect(planFromConfig(biased).source('layers.0.o.bias')!.presence).toBe('optional');
    expect(placesOf(biased, 'layers.0.delta_q.bias')).toEqual([]);
  });
});

describe('Qwen3.5', () => {
  test('the text part counts, beside a vision tower or alone', () => {
    const plan = planFromConfig(whole);
    expect([plan.architecture, plan.tied]).toEqual(['qwen3_5_text', false]);
    expect(planFromConfig(text).spec).toEqual(plan.spec);
    expect(planFromConfig({ ...whole, tie_word_embeddings: true }).tied).toBe(true);
    expect(layerKindsOf(plan.spec).map(layerKindText)).toEqual([
      'a gated delta net, feed-forward 12288',
      'all positions, feed-forward 12288',
    ]);
    expect(placesOf(whole, 'layers.0.delta_z.weight').map(({ name }) => name)).toContain(
      'model.language_model.layers.0.linear_attn.in_proj_z.weight',
    );
    expect(placesOf(whole, 'layers.0.delta_v.weight')[0]!.view).toEqual({ firstRow: 2 * 16 * 128 });
  });

  test('the tower is left out beside a text part, layers that predict always', () => {
    const tower = 'model.visual.blocks.0.attn.qkv.weight';
    expect([isLeftOut(whole, tower), isLeftOut(text, tower)]).toEqual([true, false]);
    for (const config of [whole, text, next]) {
      expect(isLeftOut(config, 'mtp.layers.0.mlp.up_proj.weight')).toBe(true);
    }
    expect(isLeftOut(whole, 'model.language_model.layers.0.self_attn.sinks')).toBe(false);
  });

  test('with experts in every layer, whose weights always sum to one', () => {
    const config = { ...whole, model_type: 'qwen3_5_moe', text_config: moeText };
    const { spec } = planFromConfig(config);
    expect(spec.feedForwards).toHaveLength(1);
    expect(spec.feedForwards[0]).toMatchObject({
      size: 512,
      experts: { renormalize: true, used: 8, sharedSize: 512 },
    });
    expect(planFromConfig({ ...moeText, norm_topk_prob: false, mlp_only_layers: [0] }).spec).toEqual(spec);
  });

  test('tokens that end a text may be told with the text part', async () => {
    expect((await generationDefaults(undefined, whole)).eosTokenIds).toEqual([248044]);
    expect((await generationDefaults(undefined, { ...whole, eos_token_id: 7 })).eosTokenIds).toEqual([7]);
    expect((await generationDefaults(undefined, { text_config: null })).eosTokenIds).toEqual([]);
  });
});

describe('GGUF', () => {
  const keys = (name: string, own: Record<string, MetadataValue> = {}): Record<string, MetadataValue> => {
    const all: Record<string, MetadataValue> = {
      block_count: 5,
      context_length: 256,
      embedding_length: 64,
      feed_forward_length: 96,
      'attention.head_count': 4,
      'attention.head_count_kv': 2,
      'attention.key_length': 16,
      'attention.value_length': 16,
      'rope.dimension_count': 4,
      'rope.dimension_sections': [11, 11, 10, 0],
      'ssm.conv_kernel': 4,
      'ssm.state_size': 8,
      'ssm.group_count': 2,
      'ssm.time_step_rank': 6,
      'ssm.inner_size': 72,
      nextn_predict_layers: 1,
      ...own,
    };
    const named = Object.entries(all).map(([key, value]) => [`${name}.${key}`, value] as const);
    return { 'general.architecture': name, ...Object.fromEntries(named) };
  };
  const experts = { expert_count: 8, expert_used_count: 2, expert_feed_forward_length: 24 };

  test('value heads take turns in Qwen3.5, and the last layer predicts', () => {
    const plan = planFromGguf(keys('qwen35'), 100);
    expect(plan.spec.states).toEqual([
      { kind: 'delta_net', taps: 4, keyHeads: 2, valueHeads: 6, keyDim: 8, valueDim: 12, tiled: true },
    ]);
    expect([plan.spec.stack.layers.length, fullOf(plan.spec)]).toEqual([4, [3]]);
    expect(plan.spec.ropes![0]!.inverseFrequencies).toHaveLength(2);
    expect([3, 4].map((n) => plan.ignored.some((one) => one.test(`blk.${n}.nextn.enorm.weight`)))).toEqual([
      false,
      true,
    ]);
    expect(plan.source('layers.0.delta_dt')!.places).toEqual([{ name: 'blk.0.ssm_dt.bias' }]);
    expect(plan.source('layers.0.delta_rate')!.places).toEqual([{ name: 'blk.0.ssm_a' }]);
    expect(plan.source('layers.0.delta_a.weight')!.places).toEqual([{ name: 'blk.0.ssm_alpha.weight' }]);
  });

  test('layers with a delta net are those that a file names, or all but every n-th', () => {
    const full = (own: Record<string, MetadataValue>) => fullOf(planFromGguf(keys('qwen35', own), 100).spec);
    expect(full({ 'attention.recurrent_layers': [false, true, true, false, false] })).toEqual([0, 3]);
    expect(full({ full_attention_interval: 2 })).toEqual([1, 3]);
  });

  test('experts, whose size may be the only one; older files of Qwen3-Next have the tensor of the checkpoint', () => {
    const shared = { ...experts, expert_shared_feed_forward_length: 40 };
    const { 'qwen35moe.feed_forward_length': _size, ...without } = keys('qwen35moe', shared);
    const moe = planFromGguf(without, 100);
    expect(moe.spec.feedForwards).toMatchObject([
      { size: 24, experts: { sharedSize: 40, renormalize: true } },
    ]);
    const plan = planFromGguf(keys('qwen3next', shared), 100);
    expect(plan.spec.states).toMatchObject([{ valueHeads: 6 }]);
    expect(plan.spec.states![0]).not.toHaveProperty('tiled');
    expect(plan.source('layers.0.delta_v.weight')!.places).toEqual([
      { name: 'blk.0.attn_qkv.weight', view: { firstRow: 32 } },
      { name: 'blk.0.ssm_in.weight', view: { firstRow: 16, group: 36, stride: 88 } },
    ]);
    expect(plan.source('layers.0.delta_z.weight')!.places).toEqual([
      { name: 'blk.0.attn_gate.weight' },
      { name: 'blk.0.ssm_in.weight', view: { firstRow: 52, group: 36, stride: 88 } },
    ]);
  });
});

test('refused by name: another activation, other layers, other parts, heads that do not divide', () => {
  const refused = [
    [{ ...next, hidden_act: 'gelu' }, 'hidden_act'],
    [{ ...next, num_hidden_layers: 1, layer_types: ['mamba'] }, 'mamba'],
    [{ ...next, scoring_func: 'sigmoid' }, 'scoring_func'],
    [{ ...whole, text_config: { ...text, model_type: 'qwen4_exp_text' } }, 'qwen4_exp_text'],
  ] as const;
  for (const [config, message] of refused) {
    expect(() => planFromConfig(config)).toThrow(unsupported(message));
  }
  expect(() => planFromConfig({ ...next, linear_num_value_heads: 24 })).toThrow(
    expect.objectContaining({ code: 'MODEL_FORMAT', message: expect.stringContaining('24 value heads') }),
  );
  expect(() => planFromConfig({ ...whole, text_config: [] })).toThrow(
    expect.objectContaining({ code: 'MODEL_FORMAT', message: expect.stringContaining('text_config') }),
  );
});

/** Families whose layers have a state: published configurations to specs, names of tensors, and what is refused by name. */
import { describe, expect, test } from 'vitest';
import { planFromConfig, planFromGguf } from '../../lib/architectures/index.js';
import { deviceFor } from '../../lib/device.js';
import { layerKindsOf, layerKindText } from '../../lib/layer-kinds.js';
import { feedForwardOf, stateOf } from '../../lib/spec.js';

/** In the words of LFM2-1.2B's own file. */
const lfm2 = {
  model_type: 'lfm2',
  hidden_size: 64,
  num_hidden_layers: 4,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  vocab_size: 100,
  max_position_embeddings: 256,
  block_ff_dim: 120,
  block_multiple_of: 32,
  conv_L_cache: 3,
  full_attn_idxs: [2],
  norm_eps: 1e-5,
};
const kinds = (config: object) => {
  const { spec } = planFromConfig({ ...lfm2, ...config });
  return spec.stack.layers.map((_, layer) => stateOf(spec, layer)?.kind ?? 'attention');
};

describe('LFM2', () => {
  test('layers by index, by type, or all of them attention', () => {
    const one = ['short_conv', 'short_conv', 'attention', 'short_conv'];
    expect(kinds({})).toEqual(one);
    const types = ['full_attention', 'conv', 'conv', 'full_attention'];
    expect(kinds({ layer_types: types })).toEqual(['attention', 'short_conv', 'short_conv', 'attention']);
    expect(kinds({ full_attn_idxs: undefined })).toEqual(Array(4).fill('attention'));
    for (const [wrong, code] of [
      [['conv', 'conv', 'conv'], 'MODEL_FORMAT'],
      [['conv', 'conv', 'conv', 'mamba'], 'UNSUPPORTED_ARCHITECTURE'],
    ] as const) {
      expect(() => kinds({ layer_types: wrong })).toThrow(expect.objectContaining({ code }));
    }
  });

  test('one kind of convolution for all layers, a feed-forward that is rounded as the reference does', () => {
    const size = (config: object) => feedForwardOf(planFromConfig({ ...lfm2, ...config }).spec, 0).size;
    // Two thirds of 120 are 80, in units of 32.
    expect(size({})).toBe(96);
    expect(size({ block_ffn_dim_multiplier: 1.3 })).toBe(128);
    expect(size({ block_ffn_dim_multiplier: null })).toBe(80);
    expect(size({ block_auto_adjust_ff_dim: false })).toBe(120);
    expect(size({ block_ff_dim: undefined, intermediate_size: 48, block_auto_adjust_ff_dim: false })).toBe(
      48,
    );
    const { spec, tied } = planFromConfig(lfm2);
    expect(spec.states).toEqual([{ kind: 'short_conv', taps: 3, channels: 64 }]);
    expect([tied, planFromConfig({ ...lfm2, tie_embedding: false }).tied]).toEqual([true, false]);
    expect(layerKindsOf(spec).map(layerKindText)).toEqual([
      'a short convolution, feed-forward 96',
      'all positions, feed-forward 96',
    ]);
  });

  test('names of tensors, by the kind of the layer', () => {
    const names = (canonical: string, config: object = {}) =>
      planFromConfig({ ...lfm2, ...config })
        .source(canonical)
        ?.places.map(({ name }) => name);
    expect(names('layers.0.o.weight')).toContain('model.layers.0.conv.out_proj.weight');
    expect(names('layers.2.o.weight')).toContain('model.layers.2.self_attn.out_proj.weight');
    expect(names('layers.0.conv.bias')).toBeUndefined();
    expect(names('layers.0.conv.bias', { conv_bias: true })).toContain('model.layers.0.conv.conv.bias');
    const gguf = planFromGguf(
      {
        'general.architecture': 'lfm2',
        'lfm2.embedding_length': 64,
        'lfm2.block_count': 2,
        'lfm2.feed_forward_length': 96,
        'lfm2.context_length': 256,
        'lfm2.attention.head_count': 4,
        'lfm2.attention.head_count_kv': [0, 2],
        'lfm2.shortconv.l_cache': 3,
      },
      100,
    );
    expect(gguf.spec.stack.layers).toEqual([
      { state: 0, feedForward: 0 },
      { attention: 0, feedForward: 0 },
    ]);
    expect(gguf.spec.attentions[0]!.kvHeads).toBe(2);
    expect(gguf.source('final_norm.weight')!.places[0]!.name).toBe('token_embd_norm.weight');
  });
});

test('a model with states leaves a GPU that nobody asked for alone', () => {
  const gpu = {
    index: 0,
    device: 'cuda:0',
    name: 'a GPU',
    reason: 'the first GPU that can be used',
  } as const;
  const { spec } = planFromConfig(lfm2);
  expect(deviceFor(gpu, {}, spec)).toEqual({
    index: -1,
    device: 'cpu',
    reason: 'layers with a state run on the CPU alone',
  });
  expect(deviceFor(gpu, { device: 'cuda' }, spec)).toBe(gpu);
  expect(deviceFor(gpu, { gpuLayers: 2 }, spec)).toBe(gpu);
  const full = planFromConfig({ ...lfm2, full_attn_idxs: undefined }).spec;
  expect(deviceFor(gpu, {}, full)).toBe(gpu);
});

test('families with other states, latent attention or a graph of their own are refused by name', () => {
  const types = ['mamba', 'mamba2', 'falcon_h1', 'nemotron_h', 'granitemoehybrid', 'jamba', 'rwkv'];
  for (const name of [...types, 'deepseek_v2', 'deepseek_v3', 'mistral4', 'gemma3n_text', 'gemma4_text']) {
    expect(() => planFromConfig({ ...lfm2, model_type: name })).toThrow(
      expect.objectContaining({ code: 'UNSUPPORTED_ARCHITECTURE', message: expect.stringContaining(name) }),
    );
  }
  for (const name of [
    'mamba2',
    'falcon-h1',
    'nemotron_h',
    'granitehybrid',
    'deepseek2',
    'gemma3n',
    'gemma4',
  ]) {
    expect(() => planFromGguf({ 'general.architecture': name }, 100)).toThrow(
      expect.objectContaining({ code: 'UNSUPPORTED_ARCHITECTURE', message: expect.stringContaining(name) }),
    );
  }
});

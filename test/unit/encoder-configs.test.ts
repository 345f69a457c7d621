/** Configurations of encoders: what they become, in published words too, and what is refused by name. */
import { expect, it } from 'vitest';
import { planFromConfig } from '../../lib/architectures/index.js';
import { attentionOf } from '../../lib/spec.js';

const small = {
  vocab_size: 100,
  hidden_size: 64,
  intermediate_size: 96,
  num_hidden_layers: 4,
  num_attention_heads: 4,
};

it('nomic-embed is read in the words of its published files', () => {
  const published = {
    model_type: 'nomic_bert',
    vocab_size: 100,
    n_embd: 64,
    n_inner: 96,
    n_layer: 4,
    n_head: 4,
    n_positions: 8192,
    max_trained_positions: 2048,
    activation_function: 'swiglu',
    layer_norm_epsilon: 1e-12,
    rotary_emb_base: 1000,
    rotary_emb_fraction: 1,
    rotary_emb_interleaved: false,
    type_vocab_size: 2,
    qkv_proj_bias: false,
    prenorm: false,
  };
  const { spec } = planFromConfig(published);
  expect(spec).toEqual(planFromConfig({ model_type: 'nomic_bert', ...small }).spec);
  expect(spec.maxPositions).toBe(2048);
  expect(spec.ropes![0]!.inverseFrequencies[1]).toBeCloseTo(1000 ** (-2 / 16), 6);
  for (const [field, message] of [
    [{ prenorm: true }, 'prenorm'],
    [{ moe_every_n_layers: 2 }, 'experts'],
    [{ rotary_emb_fraction: 0.5 }, 'rotary'],
    [{ qkv_proj_bias: true }, 'biases'],
  ] as const) {
    expect(() => planFromConfig({ ...published, ...field })).toThrow(message);
  }
});

it('layers of ModernBERT have a window and a base of their own, but for every third', () => {
  const published = { model_type: 'modernbert', ...small, global_rope_theta: 80000, local_rope_theta: 500 };
  const { spec } = planFromConfig(published);
  expect([0, 1, 2, 3].map((layer) => attentionOf(spec, layer)!.window)).toEqual([
    undefined,
    65,
    65,
    undefined,
  ]);
  const bases = [0, 1].map((layer) => spec.ropes![attentionOf(spec, layer)!.rope!]!.inverseFrequencies[1]);
  expect(bases[0]).toBeCloseTo(80000 ** (-2 / 16), 6);
  expect(bases[1]).toBeCloseTo(500 ** (-2 / 16), 6);
  const saved = {
    model_type: 'modernbert',
    ...small,
    layer_types: ['full_attention', 'sliding_attention', 'sliding_attention', 'full_attention'],
    rope_parameters: {
      full_attention: { rope_type: 'default', rope_theta: 80000 },
      sliding_attention: { rope_type: 'default', rope_theta: 500 },
    },
  };
  expect(planFromConfig(saved).spec).toEqual(spec);
});

it('positions begin behind the padding token where they do so', () => {
  const rows = { ...small, max_position_embeddings: 514 };
  expect(planFromConfig({ model_type: 'bert', ...rows }).spec).toMatchObject({
    maxPositions: 514,
    embedding: { positions: 514, types: 2 },
  });
  const roberta = { model_type: 'xlm-roberta', ...rows, pad_token_id: 1, type_vocab_size: 1 };
  expect(planFromConfig(roberta).spec).toMatchObject({
    maxPositions: 512,
    embedding: { positions: 514, positionOffset: 2, types: 1 },
  });
});

it.each([
  [{ model_type: 'bert', is_decoder: true }, 'a decoder'],
  [{ model_type: 'bert', position_embedding_type: 'relative_key' }, 'relative_key'],
  [{ model_type: 'roberta', hidden_act: 'mish' }, 'mish'],
  [{ model_type: 'modernbert', layer_types: Array(4).fill('chunked_attention') }, 'chunked_attention'],
  [{ model_type: 'new', rope_scaling: { type: 'ntk', factor: 2, mixed_b: 1 } }, 'mixed_b'],
  [{ model_type: 'new', rope_scaling: { type: 'xpos', factor: 2 } }, 'xpos'],
  [{ model_type: 'new', logn_attention_scale: true }, 'logn_attention_scale'],
])('%j is refused', (config, message) => {
  const fails = () => planFromConfig({ ...small, ...config });
  expect(fails).toThrow(expect.objectContaining({ code: 'UNSUPPORTED_ARCHITECTURE' }));
  expect(fails).toThrow(message);
});

it('Jina Embeddings 2 is a "bert" of the position type "alibi", with slopes as in the paper', () => {
  const published = {
    model_type: 'bert',
    ...small,
    num_attention_heads: 12,
    hidden_size: 96,
    position_embedding_type: 'alibi',
    feed_forward_type: 'geglu',
    type_vocab_size: 2,
  };
  const { architecture, spec } = planFromConfig(published);
  expect(architecture).toBe('jina-bert-v2');
  const bias = attentionOf(spec, 0)!.scoreBias;
  // Of eight heads 2^-1 to 2^-8, then every other one of sixteen: 2^-0.5, 2^-1.5 and so on.
  const powers = [-1, -2, -3, -4, -5, -6, -7, -8, -0.5, -1.5, -2.5, -3.5];
  expect(bias).toEqual({ kind: 'alibi', slopes: powers.map((power) => Math.fround(2 ** power)) });
  expect(spec.feedForwards[0]).toMatchObject({ activation: 'gelu_erf', gated: true });
  expect(planFromConfig({ ...published, feed_forward_type: 'reglu' }).spec.feedForwards[0]).toMatchObject({
    activation: 'relu',
  });
  expect(planFromConfig({ ...published, position_embedding_type: 'absolute' }).architecture).toBe('bert');
  for (const [field, message] of [
    [{ feed_forward_type: 'original' }, 'feed-forwards of the type "original"'],
    [
      { auto_map: { AutoModel: 'jinaai/jina-bert-v2-qk-post-norm--modeling_bert.JinaBertModel' } },
      'qk-post-norm',
    ],
  ] as const) {
    expect(() => planFromConfig({ ...published, ...field })).toThrow(message);
  }
});

import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { planFromConfig, planFromGguf, supportedArchitectures } from '../../lib/architectures/index.js';
import { ropeTable } from '../../lib/architectures/rope.js';
import { findTensors } from '../../lib/formats/bind-tensors.js';
import { type MetadataValue, native } from '../../lib/native.js';
import { specToJson } from '../../lib/spec.js';

const llama = {
  model_type: 'llama',
  hidden_size: 64,
  intermediate_size: 160,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  vocab_size: 100,
  max_position_embeddings: 256,
};
const layer = { attention: 0, feedForward: 0 };
const gpt2 = { model_type: 'gpt2', n_embd: 48, n_layer: 2, n_head: 3, n_positions: 32, vocab_size: 50 };
const llamaKeys = {
  'general.architecture': 'llama',
  'llama.block_count': 2,
  'llama.context_length': 256,
  'llama.embedding_length': 64,
  'llama.feed_forward_length': 160,
  'llama.attention.head_count': 4,
  'llama.attention.head_count_kv': 2,
};

test('inverse frequencies are those of the reference, bit for bit', () => {
  const path = new URL('../fixtures/rope/frequencies.json', import.meta.url);
  const bitsOf = ({ buffer }: Float32Array) => Array.from(new Int32Array(buffer));
  for (const { theta, dim, scaling, bits, scale, longBits } of JSON.parse(readFileSync(path, 'utf8'))) {
    const table = ropeTable({ theta, dim, scaling, maxPositions: 131072 });
    expect(bitsOf(table.inverseFrequencies)).toEqual(bits);
    expect(table.scale ?? 1).toBeCloseTo(scale, 15);
    expect(table.long && bitsOf(table.long.inverseFrequencies)).toEqual(longBits ?? undefined);
  }
});

describe('llama', () => {
  test('takes every parameter from config.json', () => {
    const { spec } = planFromConfig({ ...llama, rms_norm_eps: 1e-5, head_dim: 32, rope_theta: 5e5 });
    expect(spec).toMatchObject({
      vocabSize: 100,
      hiddenSize: 64,
      maxPositions: 256,
      ropes: [
        { kind: 'half', inverseFrequencies: [...ropeTable({ theta: 5e5, dim: 32 }).inverseFrequencies] },
      ],
      attentions: [{ heads: 4, kvHeads: 2, headDim: 32, rope: 0 }],
      feedForwards: [{ activation: 'silu', gated: true, size: 160 }],
      stack: { residual: 'pre', layers: [layer, layer] },
      norm: 'rms',
      normEps: 1e-5,
    });
  });

  test('has one key-value head per head, and no head of its own when tied, by default as the reference', () => {
    const { num_key_value_heads: _, ...rest } = llama;
    const { spec } = planFromConfig(rest);
    expect([spec.attentions[0], spec.normEps]).toEqual([
      { heads: 4, kvHeads: 4, headDim: 16, rope: 0 },
      1e-6,
    ]);
    expect(planFromConfig(llama).source('lm_head.weight')).toMatchObject({ presence: 'required' });
    const tied = planFromConfig({ ...llama, tie_word_embeddings: true });
    expect(tied.source('lm_head.weight')).toMatchObject({ presence: 'optional' });
    // Either stands for both.
    expect(tied.source('embed.tokens')!.places.map(({ name }) => name)).toEqual([
      'model.embed_tokens.weight',
      'embed_tokens.weight',
      'lm_head.weight',
    ]);
  });

  test('reads scaling and theta where newer and older files keep them', () => {
    const linear = [
      ...ropeTable({ theta: 20000, dim: 16, scaling: { rope_type: 'linear', factor: 2 } }).inverseFrequencies,
    ];
    for (const config of [
      { rope_theta: 20000, rope_scaling: { type: 'linear', factor: 2 } },
      { rope_parameters: { rope_theta: 20000, rope_type: 'linear', factor: 2 } },
    ]) {
      expect(planFromConfig({ ...llama, ...config }).spec.ropes![0]!.inverseFrequencies).toEqual(linear);
    }
  });

  test('has the biases that the config speaks of', () => {
    const plain = planFromConfig(llama);
    const biased = planFromConfig({ ...llama, attention_bias: true, mlp_bias: true });
    for (const name of ['q', 'k', 'v', 'o', 'gate', 'up', 'down']) {
      expect(plain.source(`layers.1.${name}.bias`)).toBeUndefined();
      expect(biased.source(`layers.1.${name}.bias`)).toMatchObject({ presence: 'required' });
    }
  });

  test('from GGUF rotates neighbours and takes the rows of the table', () => {
    const { spec, source } = planFromGguf(llamaKeys, 99);
    expect(spec).toMatchObject({ vocabSize: 99, attentions: [{ headDim: 16, kvHeads: 2 }] });
    expect(spec.ropes).toEqual([
      {
        kind: 'interleaved',
        inverseFrequencies: [...ropeTable({ theta: 10000, dim: 16 }).inverseFrequencies],
      },
    ]);
    expect(source('layers.1.o.weight')!.places).toEqual([{ name: 'blk.1.attn_output.weight' }]);
  });

  test.each([
    ['an unknown scaling', { rope_scaling: { rope_type: 'axial', factor: 2 } }, /axial/],
    ['another activation', { hidden_act: 'mish' }, /mish/],
    ['a partial rotary embedding', { partial_rotary_factor: 0.5 }, /partial/],
  ])('refuses %s as UNSUPPORTED_ARCHITECTURE', (_, config, message) => {
    const work = (): unknown => planFromConfig({ ...llama, ...config });
    expect(work).toThrow(expect.objectContaining({ code: 'UNSUPPORTED_ARCHITECTURE' }));
    expect(work).toThrow(message);
  });

  test.each([
    [
      'an unknown router',
      { 'llama.expert_count': 8, 'llama.expert_used_count': 2, 'llama.expert_gating_func': 4 },
    ],
    ['an unknown scaling', { 'llama.rope.scaling.type': 'axial', 'llama.rope.scaling.factor': 4 }],
  ])('refuses %s in GGUF as UNSUPPORTED_ARCHITECTURE', (_, keys) => {
    expect(() => planFromGguf({ ...llamaKeys, ...keys }, 99)).toThrow(
      expect.objectContaining({ code: 'UNSUPPORTED_ARCHITECTURE' }),
    );
  });

  test.each([
    [{ num_attention_heads: 0 }, /num_attention_heads/],
    [{ num_key_value_heads: 3 }, /3 key-value heads/],
    [{ head_dim: 15 }, /even head size/],
    [{ hidden_size: 65 }, /headDim/],
    [{ hidden_size: 1e9, head_dim: 16 }, /hiddenSize/],
    [{ num_hidden_layers: 1e9 }, /layers/],
    [{ vocab_size: -5 }, /vocab_size/],
    [{ vocab_size: '100' }, /vocab_size/],
    [{ rms_norm_eps: -1 }, /normEps/],
    [{ rope_theta: 0 }, /rope_theta/],
    [{ rope_scaling: { rope_type: 'llama3', factor: 8 } }, /low_freq_factor/],
    [{ rope_scaling: [{ type: 'linear', factor: 2 }] }, /rope_scaling/],
    [{ rope_parameters: [] }, /rope_parameters/],
    [{ vocab_size: `\u001b[2J${'9'.repeat(500)}` }, /^.{0,300}$/],
    [{ intermediate_size: undefined }, /intermediate_size/],
  ])('refuses nonsense: %j', (config, message) => {
    const work = (): unknown => planFromConfig({ ...llama, ...config });
    expect(work).toThrow(expect.objectContaining({ code: 'MODEL_FORMAT' }));
    expect(work).toThrow(message);
  });

  test.each([
    ['llama.block_count', undefined],
    ['llama.block_count', 'two'],
    ['llama.block_count', 1.5],
    ['llama.attention.head_count', 0],
    ['llama.attention.head_count', [4, 4]],
    ['llama.context_length', -1],
  ])('names the GGUF key %s = %j', (key, value) => {
    const keys = { ...llamaKeys, [key]: value } as Record<string, MetadataValue>;
    if (value === undefined) delete keys[key];
    expect(() => planFromGguf(keys, 99)).toThrow(expect.objectContaining({ code: 'MODEL_FORMAT' }));
  });
});

describe('windows', () => {
  const windowsIn = (config: object): (number | undefined)[] => {
    const { spec } = planFromConfig({ ...llama, num_hidden_layers: 3, ...config });
    return spec.stack.layers.map(({ attention }) => spec.attentions[attention!]!.window);
  };
  const types = ['full_attention', 'sliding_attention', 'attention'];

  // As Qwen2Config and Qwen3Config of transformers 5.24.0 have them.
  test.each([
    [{}, []],
    [{ use_sliding_window: true }, []],
    [{ sliding_window: 8, max_window_layers: 0 }, []],
    [{ use_sliding_window: true, sliding_window: 8, max_window_layers: 1 }, [1, 2]],
    [{ use_sliding_window: true, sliding_window: 8, max_window_layers: -1 }, [0, 1, 2]],
    [{ use_sliding_window: true, sliding_window: null, max_window_layers: 0 }, []],
    [{ use_sliding_window: true, sliding_window: 8, layer_types: types }, [1]],
    [{ use_sliding_window: true, sliding_window: 8, layer_types: types, max_window_layers: 0 }, [1]],
    [{ use_sliding_window: false, sliding_window: 8, layer_types: types }, []],
  ])('of upper layers: %j', (config, windowed) => {
    for (const model_type of ['qwen2', 'qwen3']) {
      const expected = [0, 1, 2].map((layer) => (windowed.includes(layer as never) ? 8 : undefined));
      expect(windowsIn({ model_type, ...config })).toEqual(expected);
    }
  });

  test('are of 4096 positions where a configuration does not speak of their size', () => {
    expect(windowsIn({ model_type: 'mistral' })).toEqual([4096, 4096, 4096]);
    expect(windowsIn({ model_type: 'mistral', sliding_window: null })).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
    expect(windowsIn({ model_type: 'qwen2', use_sliding_window: true, max_window_layers: 2 })[2]).toBe(4096);
    expect(windowsIn({ model_type: 'mistral', layer_types: types })).toEqual([undefined, 4096, undefined]);
  });

  test.each([
    [{ max_window_layers: null }, 'MODEL_FORMAT', /max_window_layers/],
    [{ use_sliding_window: null }, 'MODEL_FORMAT', /use_sliding_window/],
    [{ layer_types: ['full_attention'] }, 'MODEL_FORMAT', /layer_types names 1 layers.*is 3/],
    [
      { layer_types: [...types.slice(1), 'chunked_attention'] },
      'UNSUPPORTED_ARCHITECTURE',
      /chunked_attention/,
    ],
  ])('are refused where the reference refuses: %j', (config, code, message) => {
    for (const model_type of ['qwen2', 'qwen3']) {
      expect(() => windowsIn({ model_type, ...config })).toThrow(expect.objectContaining({ code }));
      expect(() => windowsIn({ model_type, ...config })).toThrow(message);
    }
  });
});

describe('gpt2', () => {
  test('takes every parameter from config.json', () => {
    const { spec } = planFromConfig(gpt2);
    expect(spec).toEqual({
      vocabSize: 50,
      hiddenSize: 48,
      maxPositions: 32,
      attentions: [{ heads: 3, kvHeads: 3, headDim: 16 }],
      feedForwards: [{ activation: 'gelu_tanh', size: 192 }],
      embedding: { positions: 32 },
      stack: { residual: 'pre', layers: [layer, layer] },
      norm: 'layer',
      normEps: 1e-5,
    });
    const other = (config: object) => planFromConfig({ ...gpt2, ...config }).spec;
    expect(other({ activation_function: 'gelu' }).feedForwards[0]!.activation).toBe('gelu_erf');
    expect(other({ n_inner: 100 }).feedForwards[0]!.size).toBe(100);
    expect(other({ scale_attn_weights: false }).attentions[0]!.scale).toBe(1);
  });

  test('cuts query, key and value out of one transposed tensor', () => {
    const plan = planFromConfig(gpt2);
    const view = { firstRow: 48, transposed: true };
    expect(plan.source('layers.1.k.weight')).toEqual({
      places: [
        { name: 'transformer.h.1.attn.c_attn.weight', view },
        { name: 'h.1.attn.c_attn.weight', view },
      ],
      presence: 'required',
    });
    expect(plan.source('layers.1.v.bias')!.places[0]!.view).toEqual({ firstRow: 96 });
    const keys = Object.fromEntries(
      Object.entries({ ...llamaKeys, 'general.architecture': 'gpt2' }).map(([k, v]) => [
        k.replace('llama.', 'gpt2.'),
        v,
      ]),
    );
    expect(planFromGguf(keys, 50).source('layers.0.up.weight')!.places[0]!.view).toBeUndefined();
  });

  test('refuses what the graph does not do', () => {
    for (const config of [
      { activation_function: 'tanh' },
      { scale_attn_by_inverse_layer_idx: true },
      { add_cross_attention: true },
    ]) {
      expect(() => planFromConfig({ ...gpt2, ...config })).toThrow(
        expect.objectContaining({ code: 'UNSUPPORTED_ARCHITECTURE' }),
      );
    }
  });
});

test('Falcon: groups of heads in the newer form, one head of keys in the older; norms of both, of one, or in sequence', () => {
  const plan = (config: object) => {
    const sizes = { hidden_size: 64, num_hidden_layers: 1, num_attention_heads: 8, vocab_size: 50 };
    return planFromConfig({ model_type: 'falcon', ...sizes, ...config });
  };
  const stackOf = (config: object) => {
    const { layers: _, ...stack } = plan(config).spec.stack;
    return [plan(config).spec.attentions[0]!.kvHeads, stack];
  };
  const newer = { new_decoder_architecture: true, num_kv_heads: 2 };
  expect(stackOf(newer)).toEqual([2, { residual: 'parallel', sharedNorm: false }]);
  expect(stackOf({ ...newer, num_ln_in_parallel_attn: 1 })).toEqual([
    2,
    { residual: 'parallel', sharedNorm: true },
  ]);
  expect(stackOf({})).toEqual([1, { residual: 'parallel', sharedNorm: true }]);
  expect(stackOf({ multi_query: false, parallel_attn: false })).toEqual([8, { residual: 'pre' }]);
  const biasOf = (config: object) => plan(config).source('layers.0.down.bias')?.presence;
  expect([biasOf({}), biasOf({ bias: true })]).toEqual([undefined, 'required']);
  expect(plan({}).spec.feedForwards).toEqual([{ activation: 'gelu_erf', gated: false, size: 256 }]);
  expect(() => plan({ alibi: true })).toThrow(/alibi = true/);
});

test('an architecture that is not there is refused with the list of those that are', () => {
  const ggufNames = ['llama', 'qwen3', 'gpt2', 'gemma3', 'gptneox', 'mistral3', 'gpt-oss'];
  for (const [work, names] of [
    [() => planFromConfig({ model_type: 'mamba' }), supportedArchitectures],
    [() => planFromConfig({}), supportedArchitectures],
    [() => planFromGguf({ 'general.architecture': 'mamba' }, 1), ggufNames],
    [() => planFromGguf({ 'general.architecture': '__proto__' }, 1), ggufNames],
  ] as const) {
    expect(work).toThrow(expect.objectContaining({ code: 'UNSUPPORTED_ARCHITECTURE' }));
    for (const name of names) expect(work).toThrow(name);
  }
});

test('the tensors of a deep model are bound in turns of the event loop', async () => {
  const plan = planFromGguf({ ...llamaKeys, 'llama.block_count': 100 }, 50);
  const table = native().tensorsOf(specToJson(plan.spec));
  const names = table.flatMap(({ name, role, parts }) =>
    role === 'linear' ? parts.map((part) => `${part}.weight`) : [name],
  );
  const stored = names.map((name) => plan.source(name)!).filter(({ presence }) => presence === 'required');
  const entries = stored.map((one) => ({
    name: one.places[0]!.name,
    dtype: 'F32' as const,
    shape: [1],
    bytes: 0,
  }));
  let turns = 0;
  let immediate: NodeJS.Immediate = setImmediate(function count() {
    turns++;
    immediate = setImmediate(count);
  });
  const { tensors } = await findTensors(plan, table, entries);
  clearImmediate(immediate);
  expect(Object.keys(tensors)).toHaveLength(stored.length);
  expect(turns).toBeGreaterThan(stored.length / 100);
});

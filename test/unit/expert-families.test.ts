/** Families with experts: published configurations to specs, names of tensors, and what is refused by name. */
import { describe, expect, test } from 'vitest';
import { planFromConfig, planFromGguf } from '../../lib/architectures/index.js';
import { type MetadataValue, native } from '../../lib/native.js';
import { feedForwardOf, layerCount, specToJson } from '../../lib/spec.js';

const sizes = {
  hidden_size: 64,
  intermediate_size: 160,
  num_hidden_layers: 4,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  vocab_size: 100,
  max_position_embeddings: 256,
};
/** The least that each says of its experts. */
const routers = {
  mixtral: { num_local_experts: 8, num_experts_per_tok: 2 },
  qwen2_moe: {
    num_experts: 60,
    num_experts_per_tok: 4,
    moe_intermediate_size: 140,
    shared_expert_intermediate_size: 560,
  },
  qwen3_moe: { num_experts: 128, num_experts_per_tok: 8, moe_intermediate_size: 76 },
  olmoe: { num_experts: 64, num_experts_per_tok: 8 },
  granitemoe: { num_local_experts: 32, num_experts_per_tok: 8 },
  granitemoeshared: { num_local_experts: 62, num_experts_per_tok: 6, shared_intermediate_size: 100 },
  gpt_oss: { num_local_experts: 32, num_experts_per_tok: 4 },
  glm4_moe: { n_routed_experts: 128, num_experts_per_tok: 8, moe_intermediate_size: 140 },
  ernie4_5_moe: { moe_num_experts: 64, moe_k: 6, moe_intermediate_size: 150 },
  hunyuan_v1_moe: { num_experts: 64, moe_topk: 8 },
} as const;
type Name = keyof typeof routers;
const names = Object.keys(routers) as Name[];

const planOf = (name: Name, config: object = {}) =>
  planFromConfig({ ...sizes, model_type: name, ...routers[name], ...config });
const expertsOf = (name: Name, config: object = {}) => {
  const { spec } = planOf(name, config);
  return feedForwardOf(spec, layerCount(spec) - 1);
};
const layersWithExperts = (name: Name, config: object = {}): number[] => {
  const { spec } = planOf(name, config);
  return [...spec.stack.layers.keys()].filter((layer) => feedForwardOf(spec, layer).experts !== undefined);
};
const storedAs = (name: Name, canonical: string) => planOf(name).source(canonical)!.places;

describe('published configurations', () => {
  test('of Mixtral', () => {
    expect(expertsOf('mixtral', { router_jitter_noise: 0, sliding_window: null })).toEqual({
      activation: 'silu',
      gated: true,
      size: 160,
      experts: { count: 8, used: 2, score: 'softmax', renormalize: true },
    });
    const windows = (config: object) => planOf('mixtral', config).spec.attentions.map(({ window }) => window);
    expect([windows({}), windows({ sliding_window: 32 })]).toEqual([[undefined], [32]]);
  });

  test('of Qwen, whose experts are where decoder_sparse_step and mlp_only_layers leave them', () => {
    expect(expertsOf('qwen2_moe').experts).toMatchObject({
      renormalize: false,
      sharedSize: 560,
      sharedGate: true,
    });
    expect(expertsOf('qwen3_moe', { norm_topk_prob: true })).toMatchObject({
      size: 76,
      experts: { count: 128, used: 8, renormalize: true },
    });
    for (const name of ['qwen2_moe', 'qwen3_moe'] as const) {
      expect(layersWithExperts(name)).toEqual([0, 1, 2, 3]);
      expect(layersWithExperts(name, { decoder_sparse_step: 2, mlp_only_layers: [3] })).toEqual([1]);
      expect(feedForwardOf(planOf(name, { mlp_only_layers: [0] }).spec, 0).size).toBe(160);
    }
  });

  test('of Qwen, whose windows are where use_sliding_window says so', () => {
    const windowed = (name: Name, config: object) => {
      const { spec } = planOf(name, { sliding_window: 8, ...config });
      return spec.stack.layers.map(({ attention }) => spec.attentions[attention!]!.window !== undefined);
    };
    const used = { use_sliding_window: true, max_window_layers: 3 };
    expect(windowed('qwen2_moe', used)).toEqual([true, false, true, false]);
    expect(windowed('qwen3_moe', used)).toEqual([true, true, true, true]);
    expect(windowed('qwen3_moe', {})).toEqual([false, false, false, false]);
  });

  test('of GLM-4.5, where the first layers have none and those behind the last one are left out', () => {
    const config = {
      first_k_dense_replace: 1,
      n_group: 1,
      topk_group: 1,
      routed_scaling_factor: 2.5,
      n_shared_experts: 1,
      num_nextn_predict_layers: 1,
    };
    expect(layersWithExperts('glm4_moe', config)).toEqual([1, 2, 3]);
    expect(expertsOf('glm4_moe', config).experts).toMatchObject({
      score: 'sigmoid',
      selectionBias: true,
      sharedSize: 140,
      scale: 2.5,
    });
    const isLeftOut = (layer: number) =>
      planOf('glm4_moe', config).ignored.some((one) => one.test(`model.layers.${layer}.eh_proj.weight`));
    expect([3, 4, 5].map(isLeftOut)).toEqual([false, true, false]);
  });

  test('of ERNIE 4.5, whose experts are in an interval of layers', () => {
    const config = { moe_layer_start_index: 1, moe_layer_end_index: 2, moe_layer_interval: 1 };
    expect(layersWithExperts('ernie4_5_moe', config)).toEqual([1, 2]);
    expect(layersWithExperts('ernie4_5_moe', { moe_layer_interval: 2 })).toEqual([1, 3]);
    expect(expertsOf('ernie4_5_moe').experts).toMatchObject({ sharedSize: 300, sumLeast: 1e-12 });
  });

  test('of Hunyuan, with one number for each layer', () => {
    const ofEach = { moe_topk: [8, 8], num_shared_expert: [1, 1], moe_intermediate_size: [160, 160] };
    expect(expertsOf('hunyuan_v1_moe', { ...ofEach, use_cla: false }).experts).toMatchObject({
      used: 8,
      sharedSize: 160,
    });
  });

  test('of gpt-oss, with YaRN that is not truncated where nothing else is said', () => {
    const { spec } = planOf('gpt_oss');
    expect(spec.attentions).toMatchObject([
      { sinks: true, window: 128, headDim: 64 },
      { sinks: true, headDim: 64 },
    ]);
    const scaling = {
      rope_type: 'yarn',
      factor: 32,
      truncate: false,
      original_max_position_embeddings: 4096,
    };
    const said = planOf('gpt_oss', { rope_theta: 150000, rope_scaling: { beta_fast: 32, ...scaling } }).spec;
    expect(spec.ropes).toEqual(said.ropes);
    const truncated = planOf('gpt_oss', { rope_scaling: { ...scaling, truncate: true } }).spec;
    expect(truncated.ropes).not.toEqual(said.ropes);
    expect(expertsOf('gpt_oss', { swiglu_limit: 5 })).toMatchObject({
      activation: 'clamped_swiglu',
      activationAlpha: 1.702,
      activationLimit: 5,
    });
  });
});

describe('tensors', () => {
  test('of each expert, or of all experts as one', () => {
    expect(storedAs('mixtral', 'layers.1.experts.3.up.weight').map(({ name }) => name)).toEqual([
      'model.layers.1.block_sparse_moe.experts.3.w3.weight',
      'layers.1.block_sparse_moe.experts.3.w3.weight',
      'model.layers.1.mlp.experts.gate_up_proj',
      'layers.1.mlp.experts.gate_up_proj',
    ]);
    expect(storedAs('mixtral', 'layers.1.experts.3.up.weight')[2]!.view).toEqual({
      expert: 3,
      firstRow: 160,
    });
    expect(storedAs('qwen3_moe', 'layers.0.experts.5.down.weight')[0]!.name).toBe(
      'model.layers.0.mlp.experts.5.down_proj.weight',
    );
    expect(storedAs('glm4_moe', 'layers.2.router_bias')[0]!.name).toBe(
      'model.layers.2.mlp.gate.e_score_correction_bias',
    );
    expect(storedAs('gpt_oss', 'layers.2.experts.1.up.bias')[0]).toEqual({
      name: 'model.layers.2.mlp.experts.gate_up_proj_bias',
      view: { expert: 1, firstRow: 1, group: 1, stride: 2 },
    });
  });

  test('of GGUF, the older of which have a tensor for each expert', () => {
    const keys: Record<string, MetadataValue> = {
      ...ggufKeys('llama'),
      'llama.expert_count': 8,
      'llama.expert_used_count': 2,
    };
    expect(planFromGguf(keys, 99).source('layers.1.experts.3.gate.weight')!.places).toEqual([
      { name: 'blk.1.ffn_gate_exps.weight', view: { expert: 3 } },
      { name: 'blk.1.ffn_gate.3.weight' },
    ]);
  });
});

function ggufKeys(prefix: string): Record<string, MetadataValue> {
  return {
    'general.architecture': prefix,
    [`${prefix}.block_count`]: 4,
    [`${prefix}.context_length`]: 256,
    [`${prefix}.embedding_length`]: 64,
    [`${prefix}.feed_forward_length`]: 160,
    [`${prefix}.attention.head_count`]: 4,
    [`${prefix}.expert_count`]: 8,
    [`${prefix}.expert_used_count`]: 2,
  };
}

const layers = [1, 2];
describe('refused by name, as UNSUPPORTED_ARCHITECTURE', () => {
  test.each(names)('%s: another activation, another router', (name) => {
    for (const [field, value] of [
      ['hidden_act', 'mish'],
      ['scoring_func', 'sqrtsoftplus'],
      ['topk_method', 'group_limited_greedy'],
    ]) {
      const work = () => planOf(name, { [field!]: value });
      expect(work).toThrow(expect.objectContaining({ code: 'UNSUPPORTED_ARCHITECTURE' }));
      expect(work).toThrow(value);
    }
  });

  test.each<[Name, object, RegExp]>([
    ['olmoe', { clip_qkv: 8 }, /clip_qkv = 8/],
    ['hunyuan_v1_moe', { moe_topk: layers }, /num_experts or moe_topk for each layer/],
    ['hunyuan_v1_moe', { num_experts: [8, 16] }, /num_experts or moe_topk for each layer/],
    ['hunyuan_v1_moe', { use_cla: true }, /use_cla = true/],
    ['hunyuan_v1_moe', { moe_intermediate_size: [96, 96] }, /moe_intermediate_size = 96/],
    ['hunyuan_v1_moe', { num_shared_expert: 2 }, /num_shared_expert = 2/],
    ['gpt_oss', { hidden_act: 'gelu' }, /hidden_act = "gelu"/],
    ['glm4_moe', { num_nextn_predict_layers: 1e6 }, /1000000 layers/],
  ])('%s: %j', (name, config, message) => {
    const work = () => planOf(name, config);
    expect(work).toThrow(expect.objectContaining({ code: 'UNSUPPORTED_ARCHITECTURE' }));
    expect(work).toThrow(message);
  });

  test.each([
    ['llama', { expert_gating_func: 4 }, /expert_gating_func = 4/],
    ['olmoe', { 'attention.clamp_kqv': 8 }, /clamp_kqv/],
    ['glm4moe', { 'rope.dimension_sections': [1, 1, 1, 0] }, /sections/],
  ])('GGUF, %s: %j', (prefix, added, message) => {
    const own = Object.fromEntries(Object.entries(added).map(([key, value]) => [`${prefix}.${key}`, value]));
    const work = () => planFromGguf({ ...ggufKeys(prefix), ...own } as Record<string, MetadataValue>, 99);
    expect(work).toThrow(expect.objectContaining({ code: 'UNSUPPORTED_ARCHITECTURE' }));
    expect(work).toThrow(message);
  });
});

test.each<[Name, object, RegExp]>([
  ['mixtral', { num_local_experts: 0 }, /num_local_experts/],
  ['mixtral', { num_local_experts: 2000 }, /experts = 2000/],
  ['mixtral', { num_local_experts: 1000, num_hidden_layers: 1000 }, /allExperts = 1000001/],
  ['mixtral', { num_experts_per_tok: 9 }, /uses 9 experts at once, but has 8/],
  ['qwen2_moe', { moe_intermediate_size: undefined }, /moe_intermediate_size/],
  ['hunyuan_v1_moe', { moe_topk: [] }, /moe_topk/],
])('nonsense is MODEL_FORMAT: %s, %j', (name, config, message) => {
  const work = () => planOf(name, config);
  expect(work).toThrow(expect.objectContaining({ code: 'MODEL_FORMAT' }));
  expect(work).toThrow(message);
});

// The INT8 form has a spec of its own.
test('a spec of too many experts is refused natively, before a tensor is named', () => {
  const { spec } = planOf('mixtral');
  const many = (layers: number) => ({
    ...spec,
    feedForwards: [
      { ...spec.feedForwards[0]!, experts: { count: 1000, used: 2, score: 'softmax' as const } },
    ],
    stack: {
      ...spec.stack,
      layers: Array.from({ length: layers }, () => ({ attention: 0, feedForward: 0 })),
    },
  });
  expect(native().tensorsOf(specToJson(many(1)))).toHaveLength(8 + 2000);
  expect(() => native().tensorsOf(specToJson(many(200)))).toThrow(
    /number of experts of all layers is 200000/,
  );
});

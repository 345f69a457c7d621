/**
 * What Qwen3-Next and those after it share: a gated delta net in most layers, in the others Qwen3's attention with a gate
 * beside each head's query, partial rotary embeddings, norms whose weights are stored less one. Layers behind the last one,
 * which predict further tokens, are left out.
 */
import * as v from 'valibot';
import { count, parseConfig } from '../config-schema.js';
import type { StateSpec } from '../spec.js';
import { biasesOf, type DecoderShape, ggufShape, hfShape, type HfShape, type LayerKind } from './decoder.js';
import { withoutPredicting } from './deepseek-routing.js';
import { gatedQueryRows } from './delta-views.js';
import { allowOnly } from './experts.js';
import type { GgufFacts, Names, Presence } from './family.js';
import { layerTypesOf } from './layer-types.js';
import { qwen3Names, withHeadNorm } from './qwen3.js';
import { byMixer, convolutionTaps, lessOne } from './views.js';

const schema = v.looseObject({
  num_hidden_layers: count,
  layer_types: v.nullish(v.array(v.string())),
  full_attention_interval: v.optional(count, 4),
  linear_conv_kernel_dim: v.optional(count, 4),
  linear_key_head_dim: v.optional(count, 128),
  linear_value_head_dim: v.optional(count, 128),
  linear_num_key_heads: v.optional(count, 16),
  linear_num_value_heads: v.optional(count, 32),
});

/** The projections of a delta net's input are the family's own. */
export const deltaNetNames: Names = {
  ...qwen3Names,
  attn_norm: [lessOne('input_layernorm'), 'attn_norm'],
  ffn_norm: [lessOne('post_attention_layernorm'), 'post_attention_norm'],
  final_norm: [lessOne('norm'), 'output_norm'],
  q: [gatedQueryRows('self_attn.q_proj', 0), gatedQueryRows('attn_q', 0)],
  attn_gate: [gatedQueryRows('self_attn.q_proj', 1), gatedQueryRows('attn_q', 1)],
  q_norm: [lessOne('self_attn.q_norm'), 'attn_q_norm'],
  k_norm: [lessOne('self_attn.k_norm'), 'attn_k_norm'],
  o: [byMixer('self_attn.o_proj', 'linear_attn.out_proj'), byMixer('attn_output', 'ssm_out')],
  conv: [convolutionTaps('linear_attn.conv1d'), convolutionTaps('ssm_conv1d')],
  delta_rate: [
    { name: 'linear_attn.A_log', view: { negativeExp: true }, ends: ['', ''] },
    { name: 'ssm_a', ends: ['', ''] },
  ],
  delta_dt: [
    { name: 'linear_attn.dt_bias', ends: ['', ''] },
    { name: 'ssm_dt', ends: ['.bias', ''] },
  ],
  delta_norm: ['linear_attn.norm', 'ssm_norm'],
};

function withOutputGate<Shape extends DecoderShape>(shape: Shape): Shape {
  return withHeadNorm({ ...shape, attention: { ...shape.attention, outputGate: true } });
}

/** Of one state for all layers that `isFull` does not speak of. */
function kindsOf(state: StateSpec, isFull: (layer: number) => boolean): (layer: number) => LayerKind {
  return (layer) => (isFull(layer) ? {} : { state });
}

/** A delta net's output linear, which has the same name here, has none. */
function attentionBias(part: string): Presence {
  return part === 'o' ? 'optional' : biasesOf('q', 'k', 'v', 'attn_gate')(part);
}

/** From config.json: the shape, the kind of each layer, and which linears have biases. */
export function hfDeltaNet(family: string, raw: object) {
  // The convolution has it too.
  allowOnly(family, { ...raw }, { hidden_act: ['silu'] });
  const c = parseConfig(schema, raw);
  const plain = hfShape(family, raw, { headDim: 256, partial: 0.25 });
  const shape: HfShape = withOutputGate({ ...plain, ignored: [...plain.ignored, /^mtp\./] });
  const types = layerTypesOf(family, c, ['linear_attention', 'full_attention'], (layer) =>
    (layer + 1) % c.full_attention_interval === 0 ? 'full_attention' : 'linear_attention',
  );
  const state: StateSpec = {
    kind: 'delta_net',
    taps: c.linear_conv_kernel_dim,
    keyHeads: c.linear_num_key_heads,
    valueHeads: c.linear_num_value_heads,
    keyDim: c.linear_key_head_dim,
    valueDim: c.linear_value_head_dim,
  };
  const bias: Presence | typeof attentionBias = shape.config.attention_bias ? attentionBias : 'none';
  return { shape, kindOf: kindsOf(state, (layer) => types(layer) === 'full_attention'), bias };
}

/** From GGUF metadata; `tiled`: converters reorder the value heads so. */
export function ggufDeltaNet(facts: GgufFacts, { tiled }: { tiled: boolean }) {
  const { keys } = facts;
  const all = withOutputGate(ggufShape(facts, 'half'));
  const predicting = keys.count('nextn_predict_layers', 0);
  const shape = withoutPredicting({ ...all, layers: all.layers - predicting }, predicting);
  const valueHeads = keys.count('ssm.time_step_rank');
  const state: StateSpec = {
    kind: 'delta_net',
    taps: keys.count('ssm.conv_kernel'),
    keyHeads: keys.count('ssm.group_count'),
    valueHeads,
    keyDim: keys.count('ssm.state_size'),
    valueDim: keys.count('ssm.inner_size') / valueHeads,
    ...(tiled ? { tiled } : {}),
  };
  const recurrent = keys.flags('attention.recurrent_layers');
  const interval = keys.count('full_attention_interval', 4);
  const isFull = (layer: number) => (recurrent ? !recurrent[layer] : (layer + 1) % interval === 0);
  return { shape, kindOf: kindsOf(state, isFull), bias: 'optional' as const };
}

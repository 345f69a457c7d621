/** Qwen3.5 and 3.6, their text part: Qwen3-Next without experts, its projections in tensors of their own. */
import { decoderSpec } from './decoder.js';
import { deltaNetNames, ggufDeltaNet, hfDeltaNet } from './delta-net.js';
import { deltaRows } from './delta-views.js';
import type { Family, Names } from './family.js';
import { llamaLayout } from './llama.js';

function qkv(n: 0 | 1 | 2): Names[string] {
  return [deltaRows('linear_attn.in_proj_qkv', n), deltaRows('attn_qkv', n)];
}

export const qwen35Names: Names = {
  ...deltaNetNames,
  delta_q: qkv(0),
  delta_k: qkv(1),
  delta_v: qkv(2),
  delta_z: ['linear_attn.in_proj_z', 'attn_gate'],
  delta_b: ['linear_attn.in_proj_b', 'ssm_beta'],
  delta_a: ['linear_attn.in_proj_a', 'ssm_alpha'],
};

export const qwen35: Family = {
  modelType: 'qwen3_5_text',
  ggufArchitecture: 'qwen35',
  ...llamaLayout,
  names: qwen35Names,
  fromConfig: (raw) => {
    const { shape, kindOf, bias } = hfDeltaNet('qwen3_5_text', raw as object);
    return { ...shape, spec: decoderSpec(shape, kindOf), bias };
  },
  fromGguf: (facts) => {
    const { shape, kindOf, bias } = ggufDeltaNet(facts, { tiled: true });
    return { ...shape, spec: decoderSpec(shape, kindOf), bias };
  },
};

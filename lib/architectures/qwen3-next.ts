/** Qwen3-Next: gated delta nets and gated attention, experts beside one that all tokens use through a gate. */
import { decoderSpec } from './decoder.js';
import { deltaNetNames, ggufDeltaNet, hfDeltaNet } from './delta-net.js';
import { baGroups, deltaRows, qkvzGroups } from './delta-views.js';
import { hfExperts } from './experts.js';
import type { Family, Names } from './family.js';
import { llamaLayout } from './llama.js';
import { qwenSharedNames, qwenSharedRouting, withGgufShared } from './qwen-routing.js';

/** Older GGUF files have the checkpoint's own tensor. */
function qkv(n: 0 | 1 | 2): Names[string] {
  return [
    qkvzGroups('linear_attn.in_proj_qkvz', n),
    (spec, layer) => [deltaRows('attn_qkv', n)(spec, layer), qkvzGroups('ssm_in', n)(spec, layer)],
  ];
}

function ba(n: 0 | 1): Names[string] {
  return [baGroups('linear_attn.in_proj_ba', n), baGroups('ssm_ba', n)];
}

export const qwen3Next: Family = {
  modelType: 'qwen3_next',
  ggufArchitecture: 'qwen3next',
  ...llamaLayout,
  names: {
    ...deltaNetNames,
    ...qwenSharedNames,
    delta_q: qkv(0),
    delta_k: qkv(1),
    delta_v: qkv(2),
    delta_z: [
      qkvzGroups('linear_attn.in_proj_qkvz', 3),
      (spec, layer) => ['attn_gate', qkvzGroups('ssm_in', 3)(spec, layer)],
    ],
    delta_b: ba(0),
    delta_a: ba(1),
  },
  fromConfig: (raw) => {
    const config = { norm_topk_prob: true, ...(raw as object) };
    const { shape, kindOf, bias } = hfDeltaNet('qwen3_next', config);
    const routed = hfExperts('qwen3_next', shape, qwenSharedRouting(config));
    return { ...routed, spec: decoderSpec(routed, kindOf), bias };
  },
  fromGguf: (facts) => {
    const { shape, kindOf, bias } = ggufDeltaNet(facts, { tiled: false });
    const routed = withGgufShared(facts, shape, { renormalize: true });
    return { ...routed, spec: decoderSpec(routed, kindOf), bias };
  },
};

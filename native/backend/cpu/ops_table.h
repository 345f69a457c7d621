// The table of one ISA, filled with the kernels above it. Included last by each kernels_<isa>.cc.
#pragma once

#include "backend/cpu/ops_activations.h"
#include "backend/cpu/ops_attention.h"
#include "backend/cpu/ops_experts.h"
#include "backend/cpu/ops_linear.h"
#include "backend/cpu/ops_math.h"
#include "backend/cpu/ops_norms.h"
#include "backend/cpu/ops_rows.h"
#include "backend/cpu/ops_scale.h"

// Enough rows to use a weight panel well while it is in L1, few enough that a block of 3,072 columns, its inputs and a
// panel stay in an L2 of 1 MiB.
constexpr int kBlockRows = 48;
// Fewer rows a thread do not pay for reading all weights by each of them.
constexpr int kThreadRows = 24;
constexpr int kActivatedRows = 48;  // 24 KB, that are activated before they leave L1

constexpr KernelTable MakeTable(const char* name, const AttentionKinds& kinds, const StateKernels& states,
                                decltype(KernelTable::linear_s8) linear_s8 = LinearS8) {
  return {
      .name = name,
      .quantized_bytes = sizeof(Quantized),
      .row_tile = kRowTile,
      .block_rows = kBlockRows,
      .thread_rows = kThreadRows,
      .activated_rows = kActivatedRows,
      .attention_rows = kFullTileRows,
      .enter_rows = 1,
      .enter = nullptr,
      .leave = nullptr,
      .prefetch_rows_f32 = kPrefetchRowsF32,
      .prefetch_rows_s8 = kPrefetchRowsS8,
      .linear_f32 = LinearF32,
      .linear_s8 = linear_s8,
      .rms_norm = RmsNorm,
      .layer_norm = LayerNorm,
      .rms_scale = RmsScale,
      .scale_by_weight = ScaleByWeight,
      .rms_norm_add = RmsNormAdd,
      .layer_norm_add = LayerNormAdd,
      .add_scaled = AddScaled,
      .scale_values = ScaleValues,
      .soft_cap = SoftCap,
      .sigmoid_gate = SigmoidGate,
      .route = Route,
      .sum_experts = SumExperts,
      .quantize_rows = QuantizeRows,
      .rotate_blocks = RotateBlocks,
      .pack_panel_s8 = PackPanelS8,
      .quantize_head = QuantizeHead,
      .quantize_head_s8 = QuantizeHeadS8,
      .round_to_half = RoundToHalf,
      .silu = Silu,
      .gelu_tanh = GeluTanh,
      .gelu_erf = GeluErf,
      .relu = Relu,
      .relu2 = Relu2,
      .quick_gelu = QuickGelu,
      .clamped_swiglu = ClampedSwiglu,
      .attention_chunk_f32 = AttentionChunkF32,
      .attention_chunk_f16 = AttentionChunkF16,
      .attention_chunk_s8 = AttentionChunkS8,
      .attention_kinds = &kinds,
      .states = &states,
      .attention_merge = AttentionMerge,
      .attention_finish = AttentionFinish,
      .block_maxima = BlockMaxima,
      .sum_exps = SumExps,
  };
}

// Packing of a linear, the same for every backend: panels of 32 output columns. INT8 panels are Int8Blocks
// [ceil(k / 64)] (int8_layout.h), which files hold too; float32 panels are [k][32], missing columns zero.
#pragma once

#include <cstdint>

#include "quant/int8_layout.h"
#include "quant/linear_weight.h"

namespace kvasir {

// [n_rows, k] f32 weights, n_rows <= kPanelColumns, to one panel of ceil(k / 64) blocks; missing rows become zeros. All
// kernels of that type give the same bytes; which is fastest here is Traits::pack_panel_s8.
using PackPanelFn = void (*)(const float* weights, int64_t n_rows, int64_t k, Int8Block* panel);

// Bytes of a packed linear without its bias, and how many of them are scales.
int64_t PackedBytes(Dtype dtype, int64_t n, int64_t k);
int64_t PackedScaleBytes(Dtype dtype, int64_t n, int64_t k);

// Rows [first, first + n_rows) of W, given as f32 [n_rows, k], into `weight.panels`; `first` is a multiple of 32.
// Any thread may pack rows beside others.
void PackRows(const LinearWeight& weight, int64_t first, int64_t n_rows, const float* rows,
              PackPanelFn pack_panel_s8);

}  // namespace kvasir

#include "quant/pack.h"

#include <algorithm>

namespace kvasir {

namespace {

int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

void PackPanelF32(const float* weights, int64_t n_rows, int64_t k, float* panel) {
  for (int64_t i = 0; i < k; ++i) {
    for (int64_t column = 0; column < kPanelColumns; ++column) {
      panel[i * kPanelColumns + column] = column < n_rows ? weights[column * k + i] : 0.0f;
    }
  }
}

}  // namespace

int64_t PackedBytes(Dtype dtype, int64_t n, int64_t k) {
  const int64_t panels = CeilDiv(n, kPanelColumns);
  if (dtype == Dtype::kF32) return panels * k * kPanelColumns * static_cast<int64_t>(sizeof(float));
  return panels * CeilDiv(k, kGroup) * static_cast<int64_t>(sizeof(Int8Block));
}

int64_t PackedScaleBytes(Dtype dtype, int64_t n, int64_t k) {
  if (dtype == Dtype::kF32) return 0;
  return CeilDiv(n, kPanelColumns) * CeilDiv(k, kGroup) * static_cast<int64_t>(sizeof(Int8Block::scales));
}

void PackRows(const LinearWeight& weight, int64_t first, int64_t n_rows, const float* rows,
              PackPanelFn pack_panel_s8) {
  const int64_t k = weight.k, panel_bytes = PackedBytes(weight.dtype, kPanelColumns, k);
  uint8_t* panel = static_cast<uint8_t*>(weight.panels) + first / kPanelColumns * panel_bytes;
  for (int64_t row = 0; row < n_rows; row += kPanelColumns, panel += panel_bytes) {
    const int64_t count = std::min<int64_t>(kPanelColumns, n_rows - row);
    if (weight.dtype == Dtype::kInt8) {
      pack_panel_s8(rows + row * k, count, k, reinterpret_cast<Int8Block*>(panel));
    } else {
      PackPanelF32(rows + row * k, count, k, reinterpret_cast<float*>(panel));
    }
  }
}

}  // namespace kvasir

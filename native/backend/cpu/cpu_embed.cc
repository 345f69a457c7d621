// Rows of tables: the embedding of tokens and positions, and the rows that are wanted.
#include <algorithm>

#include "backend/cpu/cpu_backend.h"
#include "core/half.h"

namespace kvasir::cpu {

void CpuBackend::UnpackRows(const LinearWeight& table, const int32_t* ids, int64_t n, float* x) {
  const int64_t k = table.k;
  const auto lookup = [&](int64_t i, int) {
    const int64_t panel = ids[i] / kPanelColumns, column = ids[i] % kPanelColumns;
    float* out = x + i * k;
    if (table.dtype == Dtype::kF32) {
      const float* values = static_cast<const float*>(table.panels) + panel * k * kPanelColumns + column;
      for (int64_t j = 0; j < k; ++j) out[j] = values[j * kPanelColumns];
      return;
    }
    const Int8Block* blocks = static_cast<const Int8Block*>(table.panels) + panel * GroupsOf(k);
    for (int64_t base = 0; base < k; base += kGroup, ++blocks) {
      const float scale = FloatFromHalf(blocks->scales[column]);
      float group[kGroup];
      for (int j = 0; j < kGroup; ++j) {
        group[j] = static_cast<float>(blocks->weights[j / 4][column][j % 4] - kWeightOffset) * scale;
      }
      kernels_.rotate_blocks(group, kGroup, kGroup);
      std::copy_n(group, std::min<int64_t>(kGroup, k - base), out + base);
    }
  };
  pool_.ParallelFor(n, lookup);
}

void CpuBackend::Embed(const LinearWeight& table, const StepIndices& ids, float* x) {
  UnpackRows(table, step_.At(ids), ids.count, x);
}

void CpuBackend::AddRows(const float* table, const StepIndices& indices, int64_t width, float* x) {
  const int32_t* of = step_.At(indices);
  for (int64_t i = 0; i < indices.count; ++i) {
    const float* row = table + of[i] * width;
    for (int64_t j = 0; j < width; ++j) x[i * width + j] += row[j];
  }
}

void CpuBackend::GatherRows(const float* x, const StepIndices& indices, int64_t width, float* out) {
  const int32_t* of = step_.At(indices);
  for (int64_t i = 0; i < indices.count; ++i) std::copy_n(x + of[i] * width, width, out + i * width);
}

}  // namespace kvasir::cpu

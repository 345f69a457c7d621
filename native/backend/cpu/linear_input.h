// What LinearInput::data holds on the CPU: one after the other, each aligned to 64, the values, scales and starts of
// KernelTable's QuantizedRows, for whole tiles of rows.
#pragma once

#include <cstdint>

#include "backend/cpu/kernel_table.h"
#include "backend/types.h"

namespace kvasir::cpu {

inline int64_t GroupsOf(int64_t width) { return (width + kGroup - 1) / kGroup; }

// Places of the parts, in bytes, of `rows` rows of `width`.
struct LinearInputPlan {
  int64_t scales, start, start_of_sums, bytes;

  LinearInputPlan(const KernelTable& kernels, int64_t rows, int64_t width) {
    const int64_t tile = kernels.row_tile, tiles = (rows + tile - 1) / tile;
    const int64_t groups = tiles * tile * GroupsOf(width), of_each = (groups * 4 + 63) / 64 * 64;
    scales = groups * kGroup * kernels.quantized_bytes;
    start = scales + of_each;
    start_of_sums = start + of_each;
    bytes = start_of_sums + of_each;
  }
};

// From a group of a row on.
inline QuantizedRows GroupAt(const KernelTable& kernels, const LinearInput& x, int64_t row, int64_t group) {
  const LinearInputPlan plan(kernels, x.rows, x.width);
  const int64_t tile = kernels.row_tile, groups = GroupsOf(x.width);
  const int64_t index = (row / tile * groups + group) * tile + row % tile;
  uint8_t* data = static_cast<uint8_t*>(x.data);
  return {
      .values = data + index * kGroup * kernels.quantized_bytes,
      .scales = reinterpret_cast<float*>(data + plan.scales) + index,
      .start = reinterpret_cast<int32_t*>(data + plan.start) + index,
      .start_of_sums = reinterpret_cast<int32_t*>(data + plan.start_of_sums) + index,
      .groups = groups,
  };
}

}  // namespace kvasir::cpu

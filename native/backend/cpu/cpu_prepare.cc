// Rows as input of a linear: rotated back where they come rotated, quantized.
#include "backend/cpu/cpu_backend.h"

namespace kvasir::cpu {

// At most kQuantizedRows of them.
void CpuBackend::QuantizeRows(const float* x, int64_t row, int64_t count, bool rotate,
                              LinearInput* out) const {
  kernels_.quantize_rows(x, out->width, static_cast<int>(count), out->width, rotate,
                         GroupAt(kernels_, *out, row, 0));
}

void CpuBackend::Prepare(float* x, int64_t rows, int rotation, LinearInput* out) {
  const int64_t width = out->width;
  const bool quantized = out->dtype == Dtype::kInt8;
  // The rotation of whole groups is the one that INT8 linears want.
  const bool rotated = quantized && rotation == kGroup;
  out->f32 = x;
  if (!quantized && rotation == 1) return;
  ForFewRows(pool_, rows, [&](int64_t first, int64_t count) {
    if (rotation > 1 && !rotated) {
      for (int64_t row = first; row < first + count; ++row) {
        kernels_.rotate_blocks(x + row * width, width, rotation);
      }
    }
    if (quantized) QuantizeRows(x + first * width, first, count, !rotated, out);
  });
}

}  // namespace kvasir::cpu

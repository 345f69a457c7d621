// Norms, with the quantization of what they give.
#include "backend/cpu/cpu_backend.h"

namespace kvasir::cpu {

// x may be `out`.
void CpuBackend::NormRow(const NormWeight& norm, const float* x, int64_t width, float* out) const {
  if (norm.kind == NormKind::kRms) {
    kernels_.rms_norm(x, norm.weight, width, norm.eps, out);
  } else {
    kernels_.layer_norm(x, norm.weight, norm.bias, width, norm.eps, out);
  }
}

void CpuBackend::Norm(const NormWeight& weight, const float* x, int64_t rows, LinearInput* out) {
  const int64_t width = out->width;
  ForFewRows(pool_, rows, [&](int64_t first, int64_t count) {
    for (int64_t row = first; row < first + count; ++row) {
      float* normed = out->f32 + row * width;
      NormRow(weight, x + row * width, width, normed);
    }
    if (out->dtype == Dtype::kInt8) QuantizeRows(out->f32 + first * width, first, count, true, out);
  });
}

}  // namespace kvasir::cpu

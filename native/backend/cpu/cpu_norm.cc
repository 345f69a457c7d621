// Norms, with the quantization of what they give.
#include "backend/cpu/cpu_backend.h"

namespace kvasir::cpu {

void CpuBackend::Norm(const NormWeight& weight, const float* x, int64_t rows, LinearInput* out) {
  const int64_t width = out->width;
  ForFewRows(pool_, rows, [&](int64_t first, int64_t count) {
    for (int64_t row = first; row < first + count; ++row) {
      float* normed = out->f32 + row * width;
      if (weight.kind == NormKind::kRms) {
        kernels_.rms_norm(x + row * width, weight.weight, width, weight.eps, normed);
      } else {
        kernels_.layer_norm(x + row * width, weight.weight, weight.bias, width, weight.eps, normed);
      }
    }
    if (out->dtype == Dtype::kInt8) QuantizeRows(out->f32 + first * width, first, count, true, out);
  });
}

}  // namespace kvasir::cpu

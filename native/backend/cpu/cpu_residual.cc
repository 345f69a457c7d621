// How a block's result joins the residual stream, and factors of whole rows: element-wise work, a few rows a task.
#include "backend/cpu/cpu_backend.h"

namespace kvasir::cpu {

void CpuBackend::AddNorm(const AddNormForm& form, const float* y, int64_t rows, int64_t width, float* x) {
  const auto each = [&](const auto& fn) {
    ForFewRows(pool_, rows, [&](int64_t first, int64_t count) {
      for (int64_t row = first; row < first + count; ++row) {
        fn(y == nullptr ? nullptr : y + row * width, x + row * width);
      }
    });
  };
  if (form.join == JoinForm::kAdd) {
    each([&](const float* added, float* to) { kernels_.add_scaled(added, width, form.scale, to); });
  } else if (form.join == JoinForm::kAddThenNorm) {
    each([&](const float* added, float* to) {
      if (added != nullptr) kernels_.add_scaled(added, width, 1.0f, to);
      NormRow(*form.norm, to, width, to);
    });
  } else {
    const auto norm_add = form.norm->kind == NormKind::kRms ? kernels_.rms_norm_add : kernels_.layer_norm_add;
    const RowNorm norm = {form.norm->weight, form.norm->bias, form.norm->eps};
    each([&](const float* added, float* to) { norm_add(added, norm, width, form.scale, to); });
  }
}

void CpuBackend::AddScaledRows(const RowFactors& factors, const float* y, int64_t rows, int64_t width,
                               float* x) {
  ForFewRows(pool_, rows, [&](int64_t first, int64_t count) {
    for (int64_t row = first; row < first + count; ++row) {
      float factor = factors.sigmoid ? 1.0f : factors.values[row];
      if (factors.sigmoid) kernels_.sigmoid_gate(factors.values + row, 1, &factor);
      kernels_.add_scaled(y + row * width, width, factor, x + row * width);
    }
  });
}

void CpuBackend::Scale(const Scaling& scaling, int64_t rows, int64_t width, float* x) {
  ForFewRows(pool_, rows, [&](int64_t first, int64_t count) {
    float* part = x + first * width;
    if (scaling.scale != 1.0f) kernels_.scale_values(count * width, scaling.scale, part);
    if (scaling.cap > 0) kernels_.soft_cap(count * width, scaling.cap, part);
  });
}

void CpuBackend::ApplyGate(const OutputGate& gate, int64_t rows, int64_t width, float* x) {
  ForFewRows(pool_, rows, [&](int64_t first, int64_t count) {
    for (int64_t row = first; row < first + count; ++row) {
      float* values = x + row * width;
      if (gate.rotation > 1) kernels_.rotate_blocks(values, width, gate.rotation);
      kernels_.sigmoid_gate(gate.values + row * gate.ld, width, values);
    }
  });
}

}  // namespace kvasir::cpu

// Activations, alone and in one with the linear before them.
#include <algorithm>

#include "backend/cpu/cpu_backend.h"

namespace kvasir::cpu {

// A kernel with its numbers.
struct CpuBackend::ActivateFn {
  void (*plain)(const float* gate, const float* up, int64_t n, float* out);
  void (*clamped)(const float* gate, const float* up, int64_t n, const SwigluForm& form, float* out);
  SwigluForm form;

  void operator()(const float* gate, const float* up, int64_t n, float* out) const {
    if (plain != nullptr) {
      plain(gate, up, n, out);
    } else {
      clamped(gate, up, n, form, out);
    }
  }
};

CpuBackend::ActivateFn CpuBackend::Activate(const ActivationForm& form) const {
  switch (form.kind) {
    case ActivationKind::kSilu: break;
    case ActivationKind::kGeluTanh: return {kernels_.gelu_tanh, nullptr, {}};
    case ActivationKind::kGeluErf: return {kernels_.gelu_erf, nullptr, {}};
    case ActivationKind::kRelu: return {kernels_.relu, nullptr, {}};
    case ActivationKind::kRelu2: return {kernels_.relu2, nullptr, {}};
    case ActivationKind::kQuickGelu: return {kernels_.quick_gelu, nullptr, {}};
    case ActivationKind::kClampedSwiglu: return {nullptr, kernels_.clamped_swiglu, {form.alpha, form.limit}};
  }
  return {kernels_.silu, nullptr, {}};
}

void CpuBackend::Activation(const ActivationForm& form, bool gated, const float* x, int64_t rows,
                            float* scratch, LinearInput* out) {
  const ActivateFn activate = Activate(form);
  const int64_t width = out->width;
  if (out->dtype == Dtype::kF32) out->f32 = scratch;
  ForFewRows(pool_, rows, [&](int64_t first, int64_t count) {
    for (int64_t row = first; row < first + count; ++row) {
      const float* gate = gated ? x + row * 2 * width : nullptr;
      const float* up = gated ? gate + width : x + row * width;
      activate(gate, up, width, scratch + row * width);
    }
    if (out->dtype == Dtype::kInt8) QuantizeRows(scratch + first * width, first, count, true, out);
  });
}

// One group of the activation's columns, [rows, ld] both; gate is nullptr where there is none.
struct CpuBackend::GatedPart {
  const float* gate;
  const float* up;
  int64_t rows, ld;
};

void CpuBackend::ActivateGroup(const ActivateFn& activate, const GatedPart& part, int64_t first_row,
                               int64_t group, LinearInput* out) const {
  const auto activate_row = [&](int64_t r, float* to) {
    activate(part.gate == nullptr ? nullptr : part.gate + r * part.ld, part.up + r * part.ld, kGroup, to);
  };
  if (out->dtype == Dtype::kF32) {
    for (int64_t r = 0; r < part.rows; ++r) {
      activate_row(r, out->f32 + (first_row + r) * out->width + group * kGroup);
    }
    return;
  }
  for (int64_t first = 0; first < part.rows; first += kQuantizedRows) {
    const int count = static_cast<int>(std::min<int64_t>(kQuantizedRows, part.rows - first));
    alignas(64) float activated[kQuantizedRows][kGroup];
    for (int i = 0; i < count; ++i) activate_row(first + i, activated[i]);
    kernels_.quantize_rows(activated[0], kGroup, count, kGroup, true,
                           GroupAt(kernels_, *out, first_row + first, group));
  }
}

// Some groups of 64 columns at a time, as many as KernelTable::activated_rows lets wait, gate and up, until they are activated
// and quantized: one in prefill, in decode all of a task, so that the weights of each come in one stretch.
void CpuBackend::LinearActivation(const LinearWeight& weight, const ActivationForm& form,
                                  const LinearInput& x, int64_t rows, float* wide, float* scratch,
                                  LinearInput* out) {
  const int64_t width = out->width;
  const bool gated = weight.n == 2 * width;
  if (width % kGroup != 0) {  // gate and up share a panel, or a group is padded
    Linear(weight, x, rows, wide, weight.n, false);
    Activation(form, gated, wide, rows, scratch, out);
    return;
  }
  if (out->dtype == Dtype::kF32) out->f32 = scratch;
  const ActivateFn activate = Activate(form);
  ExpectAfter(weight, rows);
  constexpr int64_t kGroupPanels = kGroup / kPanelColumns;
  const int64_t groups = width / kGroup;
  const Cut cut(groups, threads());
  const int64_t part_rows = kernels_.activated_rows;
  const int64_t span = std::max<int64_t>(1, part_rows / rows);
  const int64_t halves = gated ? 2 : 1;
  pool_.ParallelFor(cut.tasks(), [&](int64_t task, int thread) {
    const KernelScope scope(kernels_, rows);
    float* part = work_.activated + thread * work_.activated_stride;
    const int64_t end = cut.First(task + 1);
    for (int64_t group = cut.First(task); group < end; group += span) {
      const int64_t n_groups = std::min(span, end - group), ld = halves * n_groups * kGroup;
      for (int64_t row = 0; row < rows; row += part_rows) {
        const int64_t count = std::min(part_rows, rows - row);
        for (int64_t half = 0; half < halves; ++half) {
          const int64_t up = width / kPanelColumns, of_group = group * kGroupPanels;
          const int64_t first = half * up + of_group;
          LinearPanels(weight, x,
                       {.first = first,
                        .end = first + n_groups * kGroupPanels,
                        .next = gated && half == 0 ? up + of_group : of_group + n_groups * kGroupPanels,
                        .row = row,
                        .rows = count,
                        .out = part + half * n_groups * kGroup,
                        .ld_out = ld,
                        .accumulate = false});
        }
        for (int64_t i = 0; i < n_groups; ++i) {
          const float* first = part + i * kGroup;
          const float* second = first + n_groups * kGroup;
          ActivateGroup(activate, {gated ? first : nullptr, gated ? second : first, count, ld}, row,
                        group + i, out);
        }
      }
    }
  });
}

}  // namespace kvasir::cpu

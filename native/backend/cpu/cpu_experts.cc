// Routing, and the experts' feed-forward layers: one expert after the other, its rows gathered, with the same linears as any
// layer; then each row sums what its experts gave, in the order of ranks.
#include <algorithm>
#include <cstring>

#include "backend/cpu/cpu_backend.h"
#include "backend/expert_order.h"

namespace kvasir::cpu {

namespace {

constexpr int64_t kAlignment = 64;

// Parts of the scratch memory of `rows` rows, one after the other.
struct ExpertsScratch {
  ExpertOrder order;
  float* y;       // [rows * used, hidden]
  void* input;    // of an expert's rows: quantized, or [rows, hidden] f32
  void* down;     // quantized
  float* wide;    // [rows, 2 * size]
  float* work;    // [rows, size]
  int64_t bytes;  // of all

  ExpertsScratch(const KernelTable& kernels, const ExpertsForm& form, int64_t rows, uint8_t* memory) {
    bytes = 0;
    const auto take = [&](int64_t size) {
      uint8_t* part = memory == nullptr ? nullptr : memory + bytes;
      bytes += (size + kAlignment - 1) / kAlignment * kAlignment;
      return part;
    };
    const int64_t pairs = rows * form.used, f32 = static_cast<int64_t>(sizeof(float));
    order.first = reinterpret_cast<int32_t*>(take((form.n_experts + 1) * 4));
    order.rows = reinterpret_cast<int32_t*>(take(pairs * 4));
    order.places = reinterpret_cast<int32_t*>(take(pairs * 4));
    y = reinterpret_cast<float*>(take(pairs * form.hidden * f32));
    input = take(std::max(LinearInputPlan(kernels, rows, form.hidden).bytes, rows * form.hidden * f32));
    down = take(LinearInputPlan(kernels, rows, form.size).bytes);
    wide = reinterpret_cast<float*>(take(rows * 2 * form.size * f32));
    work = reinterpret_cast<float*>(take(rows * form.size * f32));
  }
};

// A quantized row of x as row `to` of out: group by group where tiles of rows lie together.
void CopyRow(const KernelTable& kernels, const LinearInput& x, int64_t from, int64_t to, LinearInput* out) {
  const int64_t all = GroupsOf(x.width), together = kernels.row_tile == 1 ? all : 1;
  for (int64_t group = 0; group < all; group += together) {
    const QuantizedRows source = GroupAt(kernels, x, from, group), target = GroupAt(kernels, *out, to, group);
    std::memcpy(target.values, source.values,
                static_cast<size_t>(together * kGroup * kernels.quantized_bytes));
    std::copy_n(source.scales, together, target.scales);
    std::copy_n(source.start, together, target.start);
    std::copy_n(source.start_of_sums, together, target.start_of_sums);
  }
}

}  // namespace

void CpuBackend::Route(const RouterForm& router, const float* logits, int64_t rows, int32_t* ids,
                       float* weights) {
  ForFewRows(pool_, rows, [&](int64_t first, int64_t count) {
    for (int64_t row = first; row < first + count; ++row) {
      kernels_.route(router, logits + row * router.n_experts, ids + row * router.used,
                     weights + row * router.used);
    }
  });
}

int64_t CpuBackend::ExpertsScratchBytes(const ExpertsForm& form, int64_t rows) const {
  return ExpertsScratch(kernels_, form, rows, nullptr).bytes;
}

// In the form of out->dtype.
void CpuBackend::GatherInput(const LinearInput& x, const int32_t* rows, int64_t n, LinearInput* out) {
  ForFewRows(pool_, n, [&](int64_t first, int64_t count) {
    for (int64_t i = first; i < first + count; ++i) {
      if (out->dtype == Dtype::kInt8) {
        CopyRow(kernels_, x, rows[i], i, out);
      } else {
        std::copy_n(x.f32 + rows[i] * x.width, x.width, out->f32 + i * x.width);
      }
    }
  });
}

void CpuBackend::Experts(const ExpertsForm& form, const LinearInput& x, const RoutedRows& routed,
                         int64_t rows, void* scratch, float* out) {
  const ExpertsScratch s(kernels_, form, rows, static_cast<uint8_t*>(scratch));
  SortByExpert(routed.ids, rows, form.used, form.n_experts, s.order);
  for (int64_t e = 0; e < form.n_experts; ++e) {
    const int64_t first = s.order.first[e], count = s.order.first[e + 1] - first;
    if (count == 0) continue;
    LinearInput input = {.dtype = form.gate_up[e].dtype,
                         .width = form.hidden,
                         .rows = rows,
                         .f32 = static_cast<float*>(s.input),
                         .data = s.input};
    LinearInput down = {.dtype = form.down[e].dtype, .width = form.size, .rows = rows, .data = s.down};
    GatherInput(x, s.order.rows + first, count, &input);
    LinearActivation(form.gate_up[e], form.activation, input, count, s.wide, s.work, &down);
    Linear(form.down[e], down, count, s.y + first * form.hidden, form.hidden, false);
  }
  ForFewRows(pool_, rows, [&](int64_t first, int64_t count) {
    for (int64_t row = first; row < first + count; ++row) {
      kernels_.sum_experts({.y = s.y,
                            .places = s.order.places + row * form.used,
                            .weights = routed.weights + row * form.used,
                            .used = static_cast<int>(form.used),
                            .accumulate = routed.accumulate},
                           form.hidden, out + row * form.hidden);
    }
  });
}

}  // namespace kvasir::cpu

// Routing, and the experts' feed-forward layers: the host asks which experts are used and queues the linears of one after
// the other over its gathered rows. So a step with experts cannot be recorded.
#include <algorithm>
#include <vector>

#include "backend/cuda/cuda_backend.h"
#include "backend/expert_order.h"
#include "core/error.h"

namespace kvasir::cuda {

namespace {

constexpr int64_t kAlignment = 64;

// Parts of the scratch memory of `rows` rows, one after the other.
struct ExpertsScratch {
  int32_t* rows;   // ExpertOrder's, and behind them its places
  float* y;        // [rows * used, hidden]
  uint8_t* input;  // of an expert's rows: quantized, or [rows, hidden] f32
  uint8_t* down;   // quantized
  float* wide;     // [rows, 2 * size]
  float* work;     // [rows, size]
  int64_t bytes = 0;

  ExpertsScratch(const CudaBackend& backend, const ExpertsForm& form, int64_t n_rows, uint8_t* memory) {
    const auto take = [&](int64_t size) {
      uint8_t* part = memory == nullptr ? nullptr : memory + bytes;
      bytes += CeilDiv(size, kAlignment) * kAlignment;
      return part;
    };
    const int64_t pairs = n_rows * form.used, f32 = static_cast<int64_t>(sizeof(float));
    const auto quantized = [&](int64_t width) {
      return backend.LinearInputBytes(Dtype::kInt8, n_rows, width);
    };
    rows = reinterpret_cast<int32_t*>(take(2 * pairs * 4));
    y = reinterpret_cast<float*>(take(pairs * form.hidden * f32));
    input = take(std::max(quantized(form.hidden), n_rows * form.hidden * f32));
    down = take(quantized(form.size));
    wide = reinterpret_cast<float*>(take(n_rows * 2 * form.size * f32));
    work = reinterpret_cast<float*>(take(n_rows * form.size * f32));
  }
};

}  // namespace

void CudaBackend::Route(const RouterForm& router, const float* logits, int64_t rows, int32_t* ids,
                        float* weights) {
  if (Queues()) cuda::Route(router, logits, rows, ids, weights, stream());
}

int64_t CudaBackend::ExpertsScratchBytes(const ExpertsForm& form, int64_t rows) const {
  return ExpertsScratch(*this, form, rows, nullptr).bytes;
}

void CudaBackend::Experts(const ExpertsForm& form, const LinearInput& x, const RoutedRows& routed,
                          int64_t rows, void* scratch, float* out) {
  if (graphs_.mode() != StepGraphs::Mode::kDirect) {
    throw Error(ErrorCode::kInternal, "A step with experts cannot be recorded");
  }
  if (rows == 0) return;
  const ExpertsScratch s(*this, form, rows, static_cast<uint8_t*>(scratch));
  const int64_t pairs = rows * form.used;
  const size_t n = static_cast<size_t>(pairs);
  std::vector<int32_t> ids(n), first(static_cast<size_t>(form.n_experts + 1)), order(2 * n);
  Download(ids.data(), routed.ids, pairs * static_cast<int64_t>(sizeof(int32_t)));
  SortByExpert(ids.data(), rows, form.used, form.n_experts, {first.data(), order.data(), order.data() + n});
  Upload(s.rows, order.data(), 2 * pairs * static_cast<int64_t>(sizeof(int32_t)));
  for (int64_t e = 0; e < form.n_experts; ++e) {
    const int64_t begin = first[static_cast<size_t>(e)], count = first[static_cast<size_t>(e + 1)] - begin;
    if (count == 0) continue;
    const LinearInput input = {.dtype = form.gate_up[e].dtype,
                               .width = form.hidden,
                               .rows = rows,
                               .f32 = reinterpret_cast<float*>(s.input),
                               .data = s.input};
    LinearInput down = {.dtype = form.down[e].dtype, .width = form.size, .rows = rows, .data = s.down};
    GatherInput(ActivationsOf(x), s.rows + begin, count, ActivationsOf(input), stream());
    LinearActivation(form.gate_up[e], form.activation, input, count, s.wide, s.work, &down);
    Linear(form.down[e], down, count, s.y + begin * form.hidden, form.hidden, false);
  }
  SumExperts({s.y, s.rows + pairs, routed.weights, form.used, routed.accumulate}, rows, form.hidden, out,
             stream());
}

}  // namespace kvasir::cuda

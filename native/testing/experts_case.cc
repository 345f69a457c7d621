#include "testing/experts_case.h"

#include <cmath>

namespace kvasir::testing {

namespace {

// The experts in a backend's memory.
struct Experts {
  std::vector<std::unique_ptr<BackendLinear>> linears;
  std::vector<LinearWeight> gate_up, down;

  Experts(const ExpertsCase& c, Backend& backend) {
    const auto add = [&](int64_t expert, int64_t k, const std::vector<float>& w,
                         const std::vector<float>& bias) {
      linears.push_back(std::make_unique<BackendLinear>(backend, c.DtypeOf(expert), k, w, bias));
      return linears.back()->weight();
    };
    for (int64_t e = 0; e < c.router.n_experts; ++e) {
      const size_t i = static_cast<size_t>(e);
      gate_up.push_back(add(e, c.hidden, c.gate_up[i], c.up_bias[i]));
      down.push_back(add(e, c.size, c.down[i], c.out_bias[i]));
    }
    backend.FinishUploads();
  }
};

std::vector<uint8_t> Bytes(int64_t n) { return std::vector<uint8_t>(static_cast<size_t>(n), 0xff); }
std::vector<float> Floats(int64_t n) { return std::vector<float>(static_cast<size_t>(n), -54321.0f); }

// One row through one expert, by the linears that any layer uses.
std::vector<float> OfOneExpert(const ExpertsCase& c, Backend& backend, const Experts& experts, int64_t row,
                               int32_t expert) {
  const size_t e = static_cast<size_t>(expert);
  BackendArray<float> x(backend, {c.x.begin() + row * c.hidden, c.x.begin() + (row + 1) * c.hidden});
  BackendArray<float> wide(backend, Floats(c.wide())), work(backend, Floats(c.size));
  BackendArray<float> out(backend, Floats(c.hidden));
  const Dtype dtype = c.DtypeOf(expert);
  BackendArray<uint8_t> data(backend, Bytes(backend.LinearInputBytes(Dtype::kInt8, 1, c.hidden)));
  BackendArray<uint8_t> down_data(backend, Bytes(backend.LinearInputBytes(Dtype::kInt8, 1, c.size)));
  LinearInput input = {.dtype = dtype, .width = c.hidden, .rows = 1, .f32 = x.data(), .data = data.data()};
  LinearInput down = {.dtype = dtype, .width = c.size, .rows = 1, .data = down_data.data()};
  backend.Prepare(x.data(), 1, 1, &input);
  backend.Linear(experts.gate_up[e], input, 1, wide.data(), c.wide(), false);
  backend.Activation(c.activation, c.gated, wide.data(), 1, work.data(), &down);
  backend.Linear(experts.down[e], down, 1, out.data(), c.hidden, false);
  return out.Read(backend);
}

void RunSeparately(const ExpertsCase& c, Backend& backend, const Experts& experts, ExpertsResult* result) {
  result->separate = c.before;
  for (int64_t row = 0; row < c.rows; ++row) {
    std::vector<float> sum;
    for (int64_t rank = 0; rank < c.router.used; ++rank) {
      const size_t at = static_cast<size_t>(row * c.router.used + rank);
      const std::vector<float> y = OfOneExpert(c, backend, experts, row, result->ids[at]);
      const float weight = result->weights[at];
      if (rank == 0) sum.assign(y.size(), 0.0f);
      for (size_t i = 0; i < y.size(); ++i) {
        sum[i] = rank == 0 ? y[i] * weight : std::fma(y[i], weight, sum[i]);
      }
    }
    for (size_t i = 0; i < sum.size(); ++i) {
      float& to = result->separate[static_cast<size_t>(row * c.hidden) + i];
      to = c.accumulate ? to + sum[i] : sum[i];
    }
  }
}

}  // namespace

Dtype ExpertsCase::DtypeOf(int64_t expert) const {
  const bool f32 =
      dtypes == ExpertDtypes::kF32 || (dtypes == ExpertDtypes::kMixed && 2 * expert >= router.n_experts);
  return f32 ? Dtype::kF32 : Dtype::kInt8;
}

void FillInputs(Random& random, ExpertsCase* c) {
  c->x = random.Bells(c->rows * c->hidden);
  c->before = random.Bells(c->rows * c->hidden);
  c->logits = random.Bells(c->rows * c->router.n_experts, 2);
  const float up = 1 / std::sqrt(static_cast<float>(c->hidden)),
              down = 1 / std::sqrt(static_cast<float>(c->size));
  for (int64_t e = 0; e < c->router.n_experts; ++e) {
    c->gate_up.push_back(random.Bells(c->wide() * c->hidden, up));
    c->down.push_back(random.Bells(c->hidden * c->size, down));
    c->up_bias.push_back(random.Bells(c->wide()));
    c->out_bias.push_back(random.Bells(c->hidden));
  }
}

ExpertsResult Run(const ExpertsCase& c, Backend& backend, bool separate) {
  const Experts experts(c, backend);
  const ExpertsForm form = {.gate_up = experts.gate_up.data(),
                            .down = experts.down.data(),
                            .n_experts = c.router.n_experts,
                            .used = c.router.used,
                            .hidden = c.hidden,
                            .size = c.size,
                            .activation = c.activation};
  BackendArray<float> x(backend, c.x), out(backend, c.before), logits(backend, c.logits);
  BackendArray<float> weights(backend, Floats(c.rows * c.router.used));
  BackendArray<int32_t> ids(backend, std::vector<int32_t>(static_cast<size_t>(c.rows * c.router.used), -1));
  const bool quantizes = c.dtypes != ExpertDtypes::kF32;
  BackendArray<uint8_t> data(backend, Bytes(backend.LinearInputBytes(Dtype::kInt8, c.rows, c.hidden)));
  LinearInput input = {.dtype = quantizes ? Dtype::kInt8 : Dtype::kF32,
                       .width = c.hidden,
                       .rows = c.rows,
                       .f32 = x.data(),
                       .data = data.data()};
  BackendArray<uint8_t> scratch(backend, Bytes(backend.ExpertsScratchBytes(form, c.rows)));
  backend.Prepare(x.data(), c.rows, 1, &input);
  backend.Route(c.router, logits.data(), c.rows, ids.data(), weights.data());
  backend.Experts(form, input, {ids.data(), weights.data(), c.accumulate}, c.rows, scratch.data(),
                  out.data());
  ExpertsResult result = {ids.Read(backend), weights.Read(backend), out.Read(backend), {}};
  if (separate) RunSeparately(c, backend, experts, &result);
  return result;
}

}  // namespace kvasir::testing

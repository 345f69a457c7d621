// The experts' feed-forward layers on the CPU backend: with `==` what single linears of one row at a time give, whatever the
// batch, the threads and the kernel table; in FP32 near float64.
#include <cmath>

#include "backend/cpu.h"
#include "backend/cpu/kernel_select.h"
#include "testing/experts_case.h"
#include "testing/native_tests.h"

namespace kvasir::testing {
namespace {

std::unique_ptr<Backend> Cpu(const std::string& isa, int threads) {
  return MakeCpuBackend(threads, isa, 1, 16);
}

// Whole groups and remainders; few and many rows an expert, experts that nobody uses; clamped, plain, without a gate.
std::vector<ExpertsCase> Cases(Random& random) {
  const RouterForm few = {.n_experts = 4, .used = 2, .renormalises = true};
  const RouterForm many = {.score = RouterScore::kSigmoid, .n_experts = 24, .used = 3, .scale = 1.5f};
  const ActivationForm clamped = {ActivationKind::kClampedSwiglu, 1.702f, 0.5f};
  std::vector<ExpertsCase> cases = {
      {.hidden = 64, .size = 64, .rows = 1, .router = few},
      {.hidden = 96, .size = 128, .rows = 9, .router = many, .accumulate = true},
      {.hidden = 130, .size = 40, .rows = 33, .router = few, .activation = clamped, .accumulate = true},
      {.hidden = 17,
       .size = 72,
       .rows = 5,
       .router = many,
       .activation = ActivationKind::kRelu2,
       .gated = false},
      {.hidden = 64,
       .size = 192,
       .rows = kSanitized ? 20 : 70,
       .router = few,
       .activation = ActivationKind::kGeluTanh},
      {.hidden = 32, .size = 64, .rows = 3, .router = {.n_experts = 1, .used = 1}},
  };
  for (ExpertsCase& c : cases) FillInputs(random, &c);
  return cases;
}

constexpr ExpertDtypes kDtypes[] = {ExpertDtypes::kF32, ExpertDtypes::kInt8, ExpertDtypes::kMixed};

KV_TEST(ops_experts_are_single_linears_summed_in_rank_order) {
  Random random(91);
  for (ExpertsCase& c : Cases(random)) {
    for (const ExpertDtypes dtypes : kDtypes) {
      c.dtypes = dtypes;
      for (const cpu::KernelTable* table : cpu::AvailableKernels()) {
        const ExpertsResult result = Run(c, *Cpu(table->name, 1), true);
        KV_EXPECT_EQ(BitDifference(result.out, result.separate), "");
      }
    }
  }
}

KV_TEST(ops_experts_do_not_depend_on_table_threads_or_batch) {
  Random random(92);
  for (ExpertsCase& c : Cases(random)) {
    for (const ExpertDtypes dtypes : kDtypes) {
      c.dtypes = dtypes;
      const ExpertsResult expected = Run(c, *Cpu("scalar", 1), false);
      for (const cpu::KernelTable* table : cpu::AvailableKernels()) {
        const ExpertsResult result = Run(c, *Cpu(table->name, 3), false);
        KV_EXPECT(result.ids == expected.ids);
        KV_EXPECT_EQ(BitDifference(result.out, expected.out), "");
      }
      // The last row alone.
      ExpertsCase alone = c;
      alone.rows = 1;
      alone.x.erase(alone.x.begin(), alone.x.end() - c.hidden);
      alone.before.erase(alone.before.begin(), alone.before.end() - c.hidden);
      alone.logits.erase(alone.logits.begin(), alone.logits.end() - c.router.n_experts);
      const std::vector<float> last(expected.out.end() - c.hidden, expected.out.end());
      KV_EXPECT_EQ(BitDifference(Run(alone, *Cpu("scalar", 1), false).out, last), "");
    }
  }
}

// Row by row with the definition's sums in float64; the activation is silu.
std::vector<double> Define(const ExpertsCase& c, const ExpertsResult& routed) {
  std::vector<double> out(c.before.begin(), c.before.end());
  const size_t hidden = static_cast<size_t>(c.hidden), size = static_cast<size_t>(c.size);
  for (size_t row = 0; row < static_cast<size_t>(c.rows); ++row) {
    for (size_t rank = 0; rank < static_cast<size_t>(c.router.used); ++rank) {
      const size_t at = row * static_cast<size_t>(c.router.used) + rank;
      const size_t e = static_cast<size_t>(routed.ids[at]);
      std::vector<double> wide(c.up_bias[e].begin(), c.up_bias[e].end());
      for (size_t i = 0; i < wide.size(); ++i) {
        for (size_t k = 0; k < hidden; ++k) {
          wide[i] += static_cast<double>(c.gate_up[e][i * hidden + k]) * c.x[row * hidden + k];
        }
      }
      for (size_t i = 0; i < hidden; ++i) {
        double y = c.out_bias[e][i];
        for (size_t k = 0; k < size; ++k) {
          y += c.down[e][i * size + k] * wide[k] / (1 + std::exp(-wide[k])) * wide[size + k];
        }
        out[row * hidden + i] += y * routed.weights[at];
      }
    }
  }
  return out;
}

KV_TEST(ops_experts_are_those_of_float64) {
  Random random(93);
  ExpertsCase c = {.dtypes = ExpertDtypes::kF32,
                   .hidden = 80,
                   .size = 72,
                   .rows = 7,
                   .router = {.n_experts = 6, .used = 2, .renormalises = true},
                   .accumulate = true};
  FillInputs(random, &c);
  const ExpertsResult result = Run(c, *Cpu("scalar", 2), false);
  const std::vector<double> tolerance(result.out.size(), 2e-5);
  KV_EXPECT_EQ(Excess(result.out, Define(c, result), tolerance), "");
  ExpertsCase other = c;
  other.down[static_cast<size_t>(result.ids[0])][3] += 0.01f;
  KV_EXPECT(Excess(result.out, Define(other, result), tolerance) != "");
}

}  // namespace
}  // namespace kvasir::testing

// Attention over one chunk where rows begin later or scores are changed: every table against the scalar one by bits, what
// must not be read, and tanh against float64. That the arithmetic is the right one is for attention_step_tests.cc to say.
#include <algorithm>
#include <cmath>

#include "backend/cpu/kernel_select.h"
#include "testing/kernel_attention_case.h"
#include "testing/native_tests.h"

namespace kvasir::testing {
namespace {

using cpu::KernelTable;

constexpr Dtype kCaches[] = {Dtype::kInt8, Dtype::kF16, Dtype::kF32};
constexpr int kEnds[] = {0, 1, 15, 16, 17, 40, 63, 64, 65, 128, 200, 255, 256};

// Rows that begin within the first page or two; some attend to nothing.
AttentionCase Case(Random& random, Dtype cache, int rows, int head_dim) {
  std::vector<int> first, n_valid;
  for (int row = 0; row < rows; ++row) {
    n_valid.push_back(kEnds[random.Integer(0, 12)]);
    first.push_back(static_cast<int>(random.Integer(0, std::min(90, std::max(0, n_valid.back() - 1)))));
  }
  AttentionCase c = MakeAttention(random, cache, rows, head_dim, n_valid);
  c.first = first;
  for (int row = 0; row < rows; ++row) c.distance.push_back(static_cast<int>(random.Integer(-600, 20)));
  const int64_t additions = random.Integer(0, 7);
  if (additions & 1) c.soft_cap = random.Uniform(0.5f, 20);
  if (additions & 2) c.slopes = random.Bells(rows, 0.1f);
  const int64_t reach = random.Integer(0, 1) == 0 ? random.Integer(0, 12) : random.Integer(100, 400);
  for (int row = 0; (additions & 4) && row < rows; ++row) {
    c.distance_bias.push_back(random.Bells(2 * reach + 1, 2));
  }
  return c;
}

std::vector<AttentionCase> Cases(uint32_t seed, int stride) {
  Random random(seed);
  std::vector<AttentionCase> cases;
  for (const Dtype cache : kCaches) {
    for (int rows = 1; rows <= cpu::kMaxTileRows; ++rows) {
      for (const int head_dim : {16, 32, 48, 64, 80, 128, 192, 256}) {
        if ((rows + head_dim / 16) % (kSanitized ? 5 : stride) != 0) continue;
        cases.push_back(Case(random, cache, rows, head_dim));
      }
    }
  }
  return cases;
}

// Scores of positions that a row does not attend to are nobody's.
AttentionState WithoutMaskedScores(AttentionState state, const AttentionCase& c) {
  for (size_t row = 0; !state.trace.empty() && row < static_cast<size_t>(c.rows); ++row) {
    std::fill_n(state.trace.begin() + static_cast<int64_t>(row) * cpu::kChunkPositions, c.first[row], 0.0f);
  }
  return state;
}

KV_TEST(kernel_attention_kinds_equal_scalar) {
  for (const KernelTable* table : OtherKernels()) {
    for (const AttentionCase& c : Cases(61, 1)) {
      const AttentionState expected = WithoutMaskedScores(Run(cpu::ScalarKernels(), c, true), c);
      KV_EXPECT_EQ(Difference(WithoutMaskedScores(Run(*table, c, true), c), expected), "");
    }
  }
}

KV_TEST(kernel_attention_kinds_of_nothing_are_the_plain_kernels) {
  for (const KernelTable* table : cpu::AvailableKernels()) {
    for (AttentionCase c : Cases(62, 3)) {
      c.soft_cap = 0;
      c.slopes.clear();
      c.distance_bias.clear();
      std::fill(c.first.begin(), c.first.end(), 0);
      const AttentionState kind = Run(*table, c, true);
      c.first.clear();
      KV_EXPECT_EQ(Difference(kind, Run(*table, c, true)), "");
    }
  }
}

KV_TEST(kernel_attention_kinds_never_read_what_no_row_attends_to) {
  for (const KernelTable* table : cpu::AvailableKernels()) {
    for (AttentionCase& c : Cases(63, 3)) {
      const AttentionState with_garbage = WithoutMaskedScores(Run(*table, c, true), c);
      c.garbage_past_end = false;
      KV_EXPECT_EQ(Difference(with_garbage, WithoutMaskedScores(Run(*table, c, true), c)), "");
      for (const float v : with_garbage.acc) KV_EXPECT(std::isfinite(v));
    }
  }
}

// A row of a tile equals the row alone, whatever its neighbours attend to.
KV_TEST(kernel_attention_kinds_rows_are_independent) {
  for (const KernelTable* table : cpu::AvailableKernels()) {
    for (const AttentionCase& c : Cases(64, 5)) {
      const AttentionState tile = Run(*table, c, false);
      for (size_t row = 0; row < static_cast<size_t>(c.rows); row += kSanitized ? 5 : 2) {
        AttentionCase alone = c;
        const int64_t begin = static_cast<int64_t>(row) * c.head_dim, end = begin + c.head_dim;
        alone.rows = 1;
        alone.n_valid = {c.n_valid[row]};
        alone.first = {c.first[row]};
        alone.distance = {c.distance[row]};
        if (!c.slopes.empty()) alone.slopes = {c.slopes[row]};
        if (!c.distance_bias.empty()) alone.distance_bias = {c.distance_bias[row]};
        alone.q.assign(c.q.begin() + begin, c.q.begin() + end);
        if (c.int8()) alone.q_scales = {c.q_scales[row]};
        const AttentionState expected = {
            {tile.max[row]}, {tile.sum[row]}, {tile.acc.begin() + begin, tile.acc.begin() + end}, {}};
        KV_EXPECT_EQ(Difference(Run(*table, alone, false), expected), "");
      }
    }
  }
}

// A cap of 1 leaves tanh of the scores in the trace: 256 at a time.
std::vector<float> Tanh(const KernelTable& table, const std::vector<float>& x) {
  Random random(65);
  AttentionCase c = MakeAttention(random, Dtype::kF32, 1, 16, {cpu::kChunkPositions});
  c.scale = c.soft_cap = 1;
  c.first = c.distance = {0};
  std::fill(c.q.begin(), c.q.end(), 0.0f);
  c.q[0] = 1;
  std::fill(c.k.begin(), c.k.end(), 0.0f);
  for (size_t i = 0; i < x.size(); ++i) c.k[16 * i] = x[i];
  std::vector<float> y = Run(table, c, true).trace;
  y.resize(x.size());
  return y;
}

// Below 1.3 units in the last place: the sum of the roundings of 1 - 2 e / (1 + e), largest where it begins, and of exp.
KV_TEST(kernel_tanh_is_that_of_float64) {
  Random random(66);
  for (int round = 0; round < (kSanitized ? 30 : 400); ++round) {
    std::vector<float> x;
    const float spread = round % 4 == 0 ? 12.0f : round % 4 == 1 ? 0.8f : 2.0f;
    for (int i = 0; i < cpu::kChunkPositions; ++i) {
      x.push_back(round % 4 == 3 ? std::ldexp(random.Bell(), i % 60 - 50) : random.Uniform(-spread, spread));
    }
    const std::vector<float> y = Tanh(cpu::ScalarKernels(), x);
    std::vector<double> expected, tolerance;
    for (const float value : x) {
      expected.push_back(std::tanh(static_cast<double>(value)));
      int exponent;
      std::frexp(expected.back(), &exponent);
      tolerance.push_back(1.3 * std::ldexp(1.0, std::max(exponent - 24, -149)));
    }
    KV_EXPECT_EQ(Excess(y, expected, tolerance), "");
    for (const KernelTable* table : OtherKernels()) KV_EXPECT_EQ(BitDifference(Tanh(*table, x), y), "");
    std::vector<float> other = x;
    other[7] += std::max(std::abs(other[7]), 1e-3f) * 1e-3f;
    if (std::abs(other[7]) < 2)
      KV_EXPECT(Excess(Tanh(cpu::ScalarKernels(), other), expected, tolerance) != "");
  }
}

KV_TEST(kernel_tanh_at_the_extremes) {
  for (const KernelTable* table : cpu::AvailableKernels()) {
    const std::vector<float> y = Tanh(*table, {3e38f, -3e38f, 20, -20, 0, 1e-40f, 0.75f, 9});
    KV_EXPECT(y[0] == 1 && y[1] == -1 && y[2] == 1 && y[3] == -1 && y[4] == 0 && y[5] == 1e-40f);
    KV_EXPECT(y[7] < 1.0000001f && y[7] > 0.9999999f);
    KV_EXPECT(std::isnan(Tanh(*table, {NAN})[0]));
  }
}

}  // namespace
}  // namespace kvasir::testing

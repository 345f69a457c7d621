// Attention over one chunk and the merge of chunks: every table against the scalar one by bits, the scalar one against
// naive float64; what a tile's rows and the slots past the end must not change.
#include <cmath>

#include "backend/cpu/kernel_select.h"
#include "testing/kernel_attention_case.h"
#include "testing/native_tests.h"

namespace kvasir::testing {
namespace {

using cpu::KernelTable;

constexpr Dtype kCaches[] = {Dtype::kInt8, Dtype::kF16, Dtype::kF32};
constexpr int kLengths[] = {0, 1, 15, 16, 17, 63, 64, 65, 128, 200, 255, 256};

std::vector<int> MixedLengths(Random& random, int rows, int64_t longest) {
  std::vector<int> n_valid;
  for (int row = 0; row < rows; ++row) n_valid.push_back(kLengths[random.Integer(0, longest)]);
  return n_valid;
}

// One in `stride` pairs of row count and head size, and all lengths.
std::vector<AttentionCase> Cases(uint32_t seed, int stride) {
  Random random(seed);
  std::vector<AttentionCase> cases;
  for (const Dtype cache : kCaches) {
    for (int rows = 1; rows <= cpu::kMaxTileRows; ++rows) {
      for (const int head_dim : {16, 32, 48, 64, 80, 128, 192, 256}) {
        if ((rows + head_dim / 16) % (kSanitized ? 5 : stride) != 0) continue;
        const int64_t longest = random.Integer(1, 11);
        cases.push_back(MakeAttention(random, cache, rows, head_dim, MixedLengths(random, rows, longest)));
      }
    }
    for (const int n : kLengths) cases.push_back(MakeAttention(random, cache, 3, 64, {n, n, n}));
  }
  return cases;
}

KV_TEST(kernel_attention_chunk_equals_scalar) {
  for (const KernelTable* table : OtherKernels()) {
    for (const AttentionCase& c : Cases(51, 1)) {
      const AttentionState expected = Run(cpu::ScalarKernels(), c, true);
      KV_EXPECT_EQ(Difference(Run(*table, c, true), expected), "");
    }
  }
}

std::string FarFromOracle(const AttentionCase& c, const AttentionState& state, int row) {
  const size_t r = static_cast<size_t>(row), dim = static_cast<size_t>(c.head_dim);
  if (c.n_valid[r] == 0) {
    const std::vector<float> untouched(dim, AttentionState::kUntouched);
    return BitDifference({state.acc.begin() + row * c.head_dim, state.acc.begin() + (row + 1) * c.head_dim},
                         untouched) +
           BitDifference({state.max[r], state.sum[r]}, {untouched[0], untouched[0]});
  }
  const AttentionOracle oracle = Oracle(c, row);
  std::vector<float> out(dim);
  cpu::ScalarKernels().attention_finish(state.acc.data() + r * dim, state.sum[r], c.head_dim, out.data());
  const float log_sum = state.max[r] + std::log(state.sum[r]);
  return Excess(out, oracle.out, oracle.out_error) +
         Excess({log_sum}, {oracle.log_sum}, {oracle.log_sum_error + 2 * kUnit * std::abs(log_sum)});
}

KV_TEST(kernel_attention_chunk_is_that_of_float64) {
  for (const AttentionCase& c : Cases(52, 2)) {
    const AttentionState state = Run(cpu::ScalarKernels(), c, true);
    for (int row = 0; row < c.rows; ++row) {
      KV_EXPECT_EQ(FarFromOracle(c, state, row), "");
      for (int i = 0; i < cpu::kChunkPositions; ++i) {
        const float traced = state.trace[static_cast<size_t>(row * cpu::kChunkPositions + i)];
        if (i < c.n_valid[static_cast<size_t>(row)]) {
          KV_EXPECT(std::abs(traced - OracleScore(c, row, i)) <= ScoreError(c, row, i));
        } else {
          KV_EXPECT_EQ(traced, AttentionState::kUntouched);
        }
      }
    }
  }
}

// One more or one less position, one key, one value, one scale: the oracle's tolerance must see each of them.
KV_TEST(kernel_attention_comparison_sees_each_part) {
  for (const Dtype cache : kCaches) {
    Random random(53);
    for (const int n : {2, 16, 65, 200}) {
      const AttentionCase c = MakeAttention(random, cache, 2, 32, {n, n});
      const size_t last = static_cast<size_t>(n - 1);
      const auto seen = [&](const auto& perturb) {
        AttentionCase other = c;
        other.garbage_past_end = false;
        // The last position and the one after it count most, so that no perturbation hides behind larger terms.
        for (size_t position : {last, last + 1}) {
          if (c.int8()) other.k_scales[position] = other.v_scales[position] = 0.04f;
          for (size_t d = 0; d < 32; ++d) other.k[position * 32 + d] = other.q[d] * (c.int8() ? 1.0f : 0.5f);
        }
        AttentionCase perturbed = other;
        perturb(&perturbed);
        const AttentionState state = Run(cpu::ScalarKernels(), perturbed, false);
        return FarFromOracle(other, state, 0) != "" &&
               Difference(state, Run(cpu::ScalarKernels(), other, false)) != "";
      };
      KV_EXPECT(!seen([](AttentionCase*) {}));
      KV_EXPECT(seen([](AttentionCase* p) { p->n_valid[0] -= 1; }));
      KV_EXPECT(seen([](AttentionCase* p) { p->n_valid[0] += 1; }));
      KV_EXPECT(seen([&](AttentionCase* p) { p->k[last * 32] += 40; }));
      KV_EXPECT(seen(
          [&](AttentionCase* p) { p->v[last * 32 + 31] = p->v[last * 32 + 31] > 0 ? -100.0f : 100.0f; }));
      KV_EXPECT(seen([](AttentionCase* p) { p->scale *= 1.01f; }));
      if (!c.int8()) continue;
      KV_EXPECT(seen([](AttentionCase* p) { p->q_scales[0] *= 1.01f; }));
      KV_EXPECT(seen([&](AttentionCase* p) { p->k_scales[last] *= 1.01f; }));
      KV_EXPECT(seen([&](AttentionCase* p) { p->v_scales[last] *= 1.01f; }));
    }
  }
}

KV_TEST(kernel_attention_never_reads_past_the_end) {
  for (const KernelTable* table : cpu::AvailableKernels()) {
    for (AttentionCase& c : Cases(54, 3)) {
      const AttentionState with_garbage = Run(*table, c, true);
      c.garbage_past_end = false;
      KV_EXPECT_EQ(Difference(with_garbage, Run(*table, c, true)), "");
      for (const float v : with_garbage.acc) KV_EXPECT(std::isfinite(v));
    }
  }
}

KV_TEST(kernel_attention_trace_changes_nothing) {
  for (const KernelTable* table : cpu::AvailableKernels()) {
    for (const AttentionCase& c : Cases(55, 5)) {
      AttentionState traced = Run(*table, c, true);
      traced.trace.clear();
      KV_EXPECT_EQ(Difference(Run(*table, c, false), traced), "");
    }
  }
}

// A row of a tile equals the row alone, whatever its neighbours attend to.
KV_TEST(kernel_attention_rows_are_independent) {
  for (const KernelTable* table : cpu::AvailableKernels()) {
    for (const AttentionCase& c : Cases(56, 5)) {
      const AttentionState tile = Run(*table, c, false);
      for (int row = 0; row < c.rows; row += kSanitized ? 5 : 2) {
        AttentionCase alone = c;
        const int64_t begin = static_cast<int64_t>(row) * c.head_dim, end = begin + c.head_dim;
        alone.rows = 1;
        alone.n_valid = {c.n_valid[static_cast<size_t>(row)]};
        alone.q.assign(c.q.begin() + begin, c.q.begin() + end);
        if (c.int8()) alone.q_scales = {c.q_scales[static_cast<size_t>(row)]};
        const AttentionState expected = {{tile.max[static_cast<size_t>(row)]},
                                         {tile.sum[static_cast<size_t>(row)]},
                                         {tile.acc.begin() + begin, tile.acc.begin() + end},
                                         {}};
        KV_EXPECT_EQ(Difference(Run(*table, alone, false), expected), "");
      }
    }
  }
}

// Two chunks of one row, merged, are the attention over the positions of both.
KV_TEST(kernel_attention_merge_is_that_of_float64) {
  for (const KernelTable* table : cpu::AvailableKernels()) {
    Random random(57);
    for (const int head_dim : {16, 48, 128}) {
      for (const int n : {1, 65, 128}) {
        AttentionCase both = MakeAttention(random, Dtype::kF32, 1, head_dim, {2 * n});
        AttentionCase first = both, second = both;
        first.n_valid = second.n_valid = {n};
        for (std::vector<float>* values : {&second.k, &second.v}) {
          std::vector<float> moved(values->begin() + n * head_dim, values->end());
          moved.resize(values->size());
          *values = moved;
        }
        AttentionState state = Run(*table, first, false), later = Run(*table, second, false);
        // Chunks of very different weight, both ways: one of them must vanish.
        for (const float shift : {0.0f, 20.0f, -20.0f, 200.0f, -200.0f}) {
          AttentionState merged = state, other = later;
          other.max[0] += shift;
          AttentionState reference = merged, reference_other = other;
          table->attention_merge({merged.max.data(), merged.sum.data(), merged.acc.data()},
                                 {other.max.data(), other.sum.data(), other.acc.data()}, 1, head_dim);
          cpu::ScalarKernels().attention_merge(
              {reference.max.data(), reference.sum.data(), reference.acc.data()},
              {reference_other.max.data(), reference_other.sum.data(), reference_other.acc.data()}, 1,
              head_dim);
          KV_EXPECT_EQ(Difference(merged, reference), "");
          KV_EXPECT_EQ(merged.max[0], std::max(state.max[0], other.max[0]));
          if (shift == 0) KV_EXPECT_EQ(FarFromOracle(both, merged, 0), "");
          if (std::abs(shift) < 200) continue;
          const AttentionState& survivor = shift > 0 ? other : state;
          KV_EXPECT_EQ(Difference(merged, survivor), "");
        }
      }
    }
  }
}

// A tile's rows are merged together: each as if it were alone, and those behind them stay as they are.
KV_TEST(kernel_attention_merge_of_rows_is_that_of_each) {
  constexpr int kDim = 32;
  for (const KernelTable* table : cpu::AvailableKernels()) {
    Random random(59);
    for (int rows = 1; rows <= cpu::kMaxTileRows; ++rows) {
      const auto state = [&] {
        AttentionState s = {
            random.Bells(rows + 1), random.Bells(rows + 1), random.Bells((rows + 1) * kDim), {}};
        for (float& max : s.max) max *= 30;
        return s;
      };
      AttentionState merged = state(), alone = merged, later = state();
      table->attention_merge({merged.max.data(), merged.sum.data(), merged.acc.data()},
                             {later.max.data(), later.sum.data(), later.acc.data()}, rows, kDim);
      for (int r = 0; r < rows; ++r) {
        cpu::ScalarKernels().attention_merge(
            {alone.max.data() + r, alone.sum.data() + r, alone.acc.data() + r * kDim},
            {later.max.data() + r, later.sum.data() + r, later.acc.data() + r * kDim}, 1, kDim);
      }
      KV_EXPECT_EQ(Difference(merged, alone), "");
    }
  }
}

KV_TEST(kernel_attention_finish_divides) {
  for (const KernelTable* table : cpu::AvailableKernels()) {
    Random random(58);
    for (int head_dim = 16; head_dim <= cpu::kMaxHeadDim; head_dim += 16) {
      const std::vector<float> acc = random.Bells(head_dim);
      Guarded out(head_dim);
      table->attention_finish(acc.data(), 3.7f, head_dim, out.data());
      std::vector<float> expected;
      for (const float a : acc) expected.push_back(a / 3.7f);
      KV_EXPECT_EQ(BitDifference(out.values(), expected), "");
      KV_EXPECT(out.intact());
    }
  }
}

}  // namespace
}  // namespace kvasir::testing

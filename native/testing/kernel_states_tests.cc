// The kernels of layers with a state: every table against the scalar one by bits, the gates against float64. What the whole op
// computes is compared with the float64 model (transformer_states_tests.cc).
#include <cmath>

#include "backend/cpu/kernel_select.h"
#include "testing/kernel_inputs.h"
#include "testing/native_tests.h"

namespace kvasir::testing {
namespace {

using cpu::ConvRows;
using cpu::DeltaRows;
using cpu::KernelTable;
using cpu::StateKernels;

// A buffer with sentinels behind it, filled.
std::vector<float> Filled(Random& random, int64_t n) {
  std::vector<float> values = random.Bells(n);
  values.insert(values.end(), 16, Guarded::kSentinel);
  return values;
}

struct ConvCase {
  int64_t rows, channels;
  int taps;
  bool biased, begins;
};

// What a convolution writes: the state after, then the rows.
std::vector<float> Convolved(const StateKernels& kernels, const ConvCase& c, bool is_short) {
  Random random(static_cast<uint32_t>(7 * c.rows + c.channels));
  const int64_t ld_state = c.channels + 3, ld_in = 3 * c.channels + 2, ld_out = c.channels + 1;
  const std::vector<float> weight = random.Bells(c.taps * ld_state), bias = random.Bells(c.channels);
  const std::vector<float> from = random.Bells((c.taps - 1) * ld_state);
  std::vector<float> in = Filled(random, c.rows * ld_in), to = Filled(random, (c.taps - 1) * ld_state);
  std::vector<float> out = Filled(random, c.rows * ld_out);
  const ConvRows conv = {.rows = c.rows,
                         .channels = c.channels,
                         .taps = c.taps,
                         .weight = weight.data(),
                         .ld_weight = ld_state,
                         .bias = c.biased ? bias.data() : nullptr,
                         .from = c.begins ? nullptr : from.data(),
                         .to = to.data(),
                         .ld_state = ld_state};
  if (is_short) {
    kernels.short_conv(conv, in.data(), ld_in, c.channels, out.data(), ld_out);
  } else {
    kernels.conv_silu(conv, in.data(), ld_in);
  }
  to.insert(to.end(), in.begin(), in.end());
  to.insert(to.end(), out.begin(), out.end());
  return to;
}

std::vector<float> AfterDelta(const StateKernels& kernels, int64_t rows, int64_t key_dim, int64_t value_dim,
                              bool begins) {
  Random random(static_cast<uint32_t>(rows + 100 * key_dim + value_dim));
  const int64_t ld = 2 * key_dim + value_dim + 5, size = key_dim * ((value_dim + 15) / 16 * 16);
  const std::vector<float> in = random.Bells(rows * ld, 0.3f);
  std::vector<float> gates;
  for (int64_t i = 0; i < 2 * rows; ++i) gates.push_back(random.Uniform(0, 1));
  const std::vector<float> from = random.Bells(size);
  std::vector<float> to = Filled(random, size), out = Filled(random, rows * (value_dim + 2));
  kernels.delta_rule({.rows = rows,
                      .key_dim = key_dim,
                      .value_dim = value_dim,
                      .q = in.data(),
                      .k = in.data() + key_dim,
                      .v = in.data() + 2 * key_dim,
                      .ld = ld,
                      .beta = gates.data(),
                      .decay = gates.data() + 1,
                      .ld_gates = 2,
                      .from = begins ? nullptr : from.data(),
                      .to = to.data(),
                      .out = out.data(),
                      .ld_out = value_dim + 2});
  to.insert(to.end(), out.begin(), out.end());
  return to;
}

KV_TEST(kernel_states_equal_scalar) {
  const StateKernels& scalar = *cpu::ScalarKernels().states;
  for (const KernelTable* table : OtherKernels()) {
    for (const int64_t rows : {1, 2, 3, 9}) {
      for (const int64_t channels : {1, 16, 20, 64, 256}) {
        for (const int taps : {2, 3, 4, 8}) {
          for (const bool is_short : {true, false}) {
            const ConvCase c = {rows, channels, taps, rows % 2 == 0, rows == 2};
            KV_EXPECT_EQ(
                BitDifference(Convolved(*table->states, c, is_short), Convolved(scalar, c, is_short)), "");
          }
        }
      }
      for (const int64_t key_dim : {1, 16, 19, 128}) {
        for (const int64_t value_dim : {1, 16, 33, 128, 200}) {
          KV_EXPECT_EQ(BitDifference(AfterDelta(*table->states, rows, key_dim, value_dim, rows == 2),
                                     AfterDelta(scalar, rows, key_dim, value_dim, rows == 2)),
                       "");
        }
      }
    }
    Random random(8);
    for (const int64_t n : {1, 15, 16, 50}) {
      const std::vector<float> rate = random.Bells(n, -2), dt = random.Bells(n), weight = random.Bells(n);
      std::vector<float> gates = Filled(random, 2 * n), other = gates;
      table->states->delta_gates(rate.data(), dt.data(), n, gates.data());
      scalar.delta_gates(rate.data(), dt.data(), n, other.data());
      KV_EXPECT_EQ(BitDifference(gates, other), "");
      std::vector<float> x = Filled(random, n), y = x;
      table->states->unit_length(x.data(), n, 0.3f);
      scalar.unit_length(y.data(), n, 0.3f);
      KV_EXPECT_EQ(BitDifference(x, y), "");
      const cpu::RowNorm norm = {weight.data(), nullptr, 1e-5f};
      table->states->gated_norm(gates.data(), norm, n, x.data());
      scalar.gated_norm(gates.data(), norm, n, y.data());
      KV_EXPECT_EQ(BitDifference(x, y), "");
    }
  }
}

// beta within 4 roundings; the logarithm of a decay within 6 of itself, by far less than what a rounding of `a` moves it.
KV_TEST(kernel_delta_gates_are_those_of_float64) {
  std::vector<float> a;
  for (float x = -90; x <= 90; x += 0.0625f) a.push_back(x);
  const auto n = static_cast<int64_t>(a.size());
  for (const float rate_value : {-0.01f, -1.0f, -16.0f}) {
    const std::vector<float> rate(a.size(), rate_value), dt(a.size(), 0.5f);
    std::vector<float> gates = a;
    gates.insert(gates.end(), a.begin(), a.end());
    cpu::ScalarKernels().states->delta_gates(rate.data(), dt.data(), n, gates.data());
    std::vector<double> beta, decay, beta_tolerance, decay_tolerance;
    for (const float x : a) {
      const double v = static_cast<double>(x), exponent = rate_value * std::log1p(std::exp(v + 0.5));
      beta.push_back(1 / (1 + std::exp(-v)));
      beta_tolerance.push_back(8 * kUnit * beta.back() + 1e-38);
      decay.push_back(std::exp(exponent));
      // exp flushes what is below exp(-87) to zero.
      decay_tolerance.push_back((8 * kUnit - 12 * kUnit * exponent) * decay.back() + 2e-38);
    }
    const auto half = gates.begin() + n;
    KV_EXPECT_EQ(Excess({gates.begin(), half}, beta, beta_tolerance), "");
    KV_EXPECT_EQ(Excess({half, gates.end()}, decay, decay_tolerance), "");
  }
}

// What a row becomes depends on the state before it alone: rows in one call are those of calls one by one, in place.
KV_TEST(kernel_states_rows_follow_each_other) {
  Random random(5);
  constexpr int64_t kRows = 7, kChannels = 24, kKeys = 20, kValues = 40, kLd = 2 * kKeys + kValues;
  const std::vector<float> weight = random.Bells(4 * kChannels), in = random.Bells(kRows * kChannels);
  const std::vector<float> mixed = random.Bells(kRows * kLd, 0.3f);
  std::vector<float> gates;
  for (int64_t i = 0; i < 2 * kRows; ++i) gates.push_back(random.Uniform(0, 1));
  for (const KernelTable* table : cpu::AvailableKernels()) {
    std::vector<std::vector<float>> results;
    for (const int64_t step : {kRows, int64_t{1}, int64_t{3}}) {
      std::vector<float> x = in, conv_state(3 * kChannels), s(kKeys * 48), out(kRows * kValues);
      for (int64_t first = 0; first < kRows; first += step) {
        const int64_t rows = std::min(step, kRows - first);
        table->states->conv_silu({.rows = rows,
                                  .channels = kChannels,
                                  .taps = 4,
                                  .weight = weight.data(),
                                  .ld_weight = kChannels,
                                  .from = first == 0 ? nullptr : conv_state.data(),
                                  .to = conv_state.data(),
                                  .ld_state = kChannels},
                                 x.data() + first * kChannels, kChannels);
        const float* row = mixed.data() + first * kLd;
        table->states->delta_rule({.rows = rows,
                                   .key_dim = kKeys,
                                   .value_dim = kValues,
                                   .q = row,
                                   .k = row + kKeys,
                                   .v = row + 2 * kKeys,
                                   .ld = kLd,
                                   .beta = gates.data() + 2 * first,
                                   .decay = gates.data() + 2 * first + 1,
                                   .ld_gates = 2,
                                   .from = first == 0 ? nullptr : s.data(),
                                   .to = s.data(),
                                   .out = out.data() + first * kValues,
                                   .ld_out = kValues});
      }
      for (const std::vector<float>* part : {&conv_state, &s, &out})
        x.insert(x.end(), part->begin(), part->end());
      results.push_back(x);
    }
    KV_EXPECT_EQ(BitDifference(results[1], results[0]), "");
    KV_EXPECT_EQ(BitDifference(results[2], results[0]), "");
  }
}

}  // namespace
}  // namespace kvasir::testing

// exp, erf and what is built of them: the scalar table against float64 with the bounds that ops_math.h promises, every
// other table against the scalar one by bits.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "backend/cpu/kernel_select.h"
#include "testing/kernel_inputs.h"
#include "testing/native_tests.h"

namespace kvasir::testing {
namespace {

using cpu::KernelTable;

constexpr double kExpError = 2e-7;  // relative, of Exp
constexpr double kErfError = 1e-7;  // absolute, of Erf
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kDenormal = 1e-42f;

const float kExtremes[] = {0.0f,       -0.0f, kDenormal, -kDenormal, 86.99f,      87.0f,   87.01f,
                           88.0f,      88.1f, 100,       -86.99f,    -87.0f,      -87.01f, -88.0f,
                           -88.1f,     -100,  1e10f,     -1e10f,     1e30f,       -1e30f,  kInfinity,
                           -kInfinity, 5.9f,  -5.9f,     1.41f,      -1.4142135f, 1e-20f};

std::vector<float> Range(Random& random, float low, float high, int64_t n) {
  std::vector<float> x(std::begin(kExtremes), std::end(kExtremes));
  while (static_cast<int64_t>(x.size()) < n) x.push_back(random.Uniform(low, high));
  return x;
}

// attention_merge multiplies by exp(own max - largest): with 0 in the other state that is exp(x) for x <= 0.
float ExpOfNonPositive(const KernelTable& table, float x) {
  float max = x, sum = 1, later_max = 0, later_sum = 0;
  float acc[16] = {1}, later_acc[16] = {};
  table.attention_merge({&max, &sum, acc}, {&later_max, &later_sum, later_acc}, 1, 16);
  KV_EXPECT_EQ(acc[0], sum);
  return sum;
}

KV_TEST(kernel_exp_is_that_of_float64) {
  for (const KernelTable* table : cpu::AvailableKernels()) {
    Random random(31);
    std::vector<float> inputs = Range(random, -87, 0, kSanitized ? 5000 : 60000);
    for (int i = 0; i < 2000; ++i) inputs.push_back(-std::ldexp(random.Uniform(1, 2), -i % 40));
    for (const float x : inputs) {
      if (x > 0) continue;
      const float actual = ExpOfNonPositive(*table, x);
      const double expected = std::exp(static_cast<double>(x));
      KV_EXPECT(x < -87 ? actual == 0 : std::abs(actual - expected) <= kExpError * expected);
      KV_EXPECT_EQ(actual, ExpOfNonPositive(cpu::ScalarKernels(), x));
    }
    KV_EXPECT_EQ(ExpOfNonPositive(*table, 0.0f), 1.0f);
    KV_EXPECT_EQ(ExpOfNonPositive(*table, -0.0f), 1.0f);
    KV_EXPECT(ExpOfNonPositive(*table, -87.0f) > 0);
    KV_EXPECT_EQ(ExpOfNonPositive(*table, -kInfinity), 0.0f);
  }
}

using Activation = void (*KernelTable::*)(const float*, const float*, int64_t, float*);
constexpr Activation kActivations[] = {&KernelTable::silu, &KernelTable::gelu_tanh, &KernelTable::gelu_erf,
                                       &KernelTable::relu, &KernelTable::relu2,     &KernelTable::quick_gelu};

std::vector<float> Run(const KernelTable& table, Activation act, const std::vector<float>& gate,
                       const std::vector<float>& up) {
  Guarded out(static_cast<int64_t>(up.size()));
  (table.*act)(gate.empty() ? nullptr : gate.data(), up.data(), static_cast<int64_t>(up.size()), out.data());
  KV_EXPECT(out.intact());
  return out.values();
}

// x / (1 + exp(-a)): exp may be off by its relative error and by that of a, |delta a|, and saturates at 88, where the
// quotient is below |x| exp(-88) either way.
struct Bounded {
  double value, error;
};

Bounded Logistic(double x, double a, double a_error) {
  const double value = a < -700 ? -0.0 : x / (1 + std::exp(-a));
  const double saturated = a < -87.9 ? std::abs(x) * std::exp(-87.9) : 0;
  return {value, std::abs(value) * (kExpError + a_error + 4 * kUnit) * 1.01 + saturated + 0x1p-149};
}

Bounded Oracle(Activation act, double x) {
  if (act == &KernelTable::silu) return Logistic(x, x, 0);
  if (act == &KernelTable::quick_gelu) {
    const double a = static_cast<double>(1.702f) * x;
    return Logistic(x, a, std::min(std::abs(a), 100.0) * kUnit);
  }
  if (act == &KernelTable::relu) return {std::max(x, 0.0), 0};
  if (act == &KernelTable::relu2) {
    const double value = std::max(x, 0.0) * std::max(x, 0.0);
    return {value, value * kUnit + 0x1p-149};
  }
  if (act == &KernelTable::gelu_tanh) {
    const double inner = x + 0.044715 * x * x * x, a = 2 * std::sqrt(2 / M_PI) * inner;
    return Logistic(x, a, std::min(std::abs(a), 100.0) * 8 * kUnit);
  }
  // z = x / sqrt(2) is rounded twice; the slope of erf at z is below 2 / sqrt(pi) exp(-z^2).
  const double z = x * M_SQRT1_2, slope = 2 / std::sqrt(M_PI) * std::exp(-z * z);
  const double value = 0.5 * x * (1 + std::erf(z));
  return {value, 0.5 * std::abs(x) * (kErfError + slope * std::abs(z) * 3 * kUnit) + kUnit * std::abs(value) +
                     0x1p-149};
}

// The kernel's results of x against the oracle's of `oracle_x`.
std::string FarFromOracle(Activation act, const std::vector<float>& x, const std::vector<float>& oracle_x) {
  std::vector<double> expected, tolerance;
  for (const float value : oracle_x) {
    const Bounded oracle = Oracle(act, value);
    expected.push_back(oracle.value);
    tolerance.push_back(oracle.error);
  }
  return Excess(Run(cpu::ScalarKernels(), act, {}, x), expected, tolerance);
}

KV_TEST(kernel_activations_are_those_of_float64) {
  for (const Activation act : kActivations) {
    Random random(32);
    std::vector<float> x = Range(random, -12, 12, kSanitized ? 3000 : 30000);
    for (int i = 0; i < 4000; ++i) x.push_back(std::ldexp(random.Bell(), i % 60 - 50));
    // Beyond +-1e10 a float32 cube overflows to the same limits; infinities have none (inf / inf).
    x.erase(std::remove_if(x.begin(), x.end(), [](float v) { return std::abs(v) > 1e10f; }), x.end());
    KV_EXPECT_EQ(FarFromOracle(act, x, x), "");
    std::vector<float> other = x;
    other[100] += 0.01f;
    KV_EXPECT(FarFromOracle(act, x, other) != "");
  }
}

KV_TEST(kernel_activations_at_the_extremes) {
  for (const KernelTable* table : cpu::AvailableKernels()) {
    for (const Activation act : kActivations) {
      const std::vector<float> out = Run(*table, act, {}, {kInfinity, 1e30f, 100, 0, -0.0f, -1e30f});
      const bool squared = act == &KernelTable::relu2;  // 1e30f^2 is beyond float32
      KV_EXPECT(out[0] == kInfinity && out[1] == (squared ? kInfinity : 1e30f));
      KV_EXPECT_EQ(out[2], squared ? 10000 : 100);
      KV_EXPECT(out[3] == 0 && out[4] == 0);
      KV_EXPECT(std::abs(out[5]) <= 1e30f * 1e-8f);
      KV_EXPECT(std::isnan(Run(*table, act, {}, {NAN})[0]));
    }
  }
}

KV_TEST(kernel_activations_equal_scalar) {
  for (const KernelTable* table : OtherKernels()) {
    for (const Activation act : kActivations) {
      Random random(33);
      for (const int64_t n : {1, 15, 16, 17, 31, 116, 191, 3000}) {
        std::vector<float> gate = Range(random, -12, 12, n), up = random.Bells(n);
        gate.resize(static_cast<size_t>(n));
        for (const bool gated : {false, true}) {
          const std::vector<float> g = gated ? gate : std::vector<float>(), u = gated ? up : gate;
          KV_EXPECT_EQ(BitDifference(Run(*table, act, g, u), Run(cpu::ScalarKernels(), act, g, u)), "");
        }
      }
    }
  }
}

KV_TEST(kernel_activations_multiply_by_up) {
  Random random(34);
  for (const Activation act : kActivations) {
    std::vector<float> gate = random.Bells(117), up = random.Bells(117);
    std::vector<float> expected = Run(cpu::ScalarKernels(), act, {}, gate);
    for (size_t i = 0; i < up.size(); ++i) expected[i] *= up[i];
    KV_EXPECT_EQ(BitDifference(Run(cpu::ScalarKernels(), act, gate, up), expected), "");
    gate[116] += 0.5f;
    KV_EXPECT(BitDifference(Run(cpu::ScalarKernels(), act, gate, up), expected) != "");
  }
}

double LogSumExp(const std::vector<float>& x, double inverse_temperature) {
  const double max = *std::max_element(x.begin(), x.end());
  double sum = 0;
  for (const float v : x) sum += std::exp((v - max) * inverse_temperature);
  return max * inverse_temperature + std::log(sum);
}

// As the backend puts it together from the kernels of a table.
double LogSumExp(const KernelTable& table, const float* x, int64_t n, float inverse_temperature) {
  const auto parts = [n](int64_t block) { return static_cast<size_t>((n + block - 1) / block); };
  std::vector<float> maxima(parts(cpu::kLogitBlock)), sums(parts(cpu::kExpSumBlock));
  table.block_maxima(x, n, maxima.data());
  const float max = *std::max_element(maxima.begin(), maxima.end());
  table.sum_exps(x, n, max, inverse_temperature, sums.data());
  const double total = std::accumulate(sums.begin(), sums.end(), 0.0);
  return static_cast<double>(max) * static_cast<double>(inverse_temperature) + std::log(total);
}

// Every term's exponent is rounded twice, relative to itself: |d e^d| <= 1 / e. Then exp, and 16 sums a lane and a tree.
KV_TEST(kernel_log_sum_exp_is_that_of_float64) {
  const double bound = kExpError + 2 * kUnit + Gamma(16 + 4);
  for (const KernelTable* table : cpu::AvailableKernels()) {
    Random random(35);
    for (const int64_t n : {1, 15, 16, 17, 255, 256, 257, 1000, 49152}) {
      if (kSanitized && n > 1000) continue;
      for (const float scale : {0.0f, 0.1f, 1.0f, 30.0f}) {
        std::vector<float> x = random.Bells(n, scale);
        for (const float inverse : {1.0f, 1 / 0.7f, 0.01f}) {
          const double actual = LogSumExp(*table, x.data(), n, inverse), expected = LogSumExp(x, inverse);
          // Terms that are flushed to 0 below exp(-87) cannot be seen beside the largest, which is 1.
          const double tolerance = bound * static_cast<double>(n == 1 ? 1 : 2) + 1e-15 * std::abs(expected);
          KV_EXPECT(std::abs(actual - expected) <= tolerance);
          KV_EXPECT_EQ(actual, LogSumExp(cpu::ScalarKernels(), x.data(), n, inverse));
          float& value = x[static_cast<size_t>(random.Integer(0, n - 1))];
          const float before = value;
          value = *std::max_element(x.begin(), x.end()) + 30 / inverse;
          KV_EXPECT(std::abs(LogSumExp(*table, x.data(), n, inverse) - expected) > tolerance);
          value = before;
        }
      }
    }
  }
}

KV_TEST(kernel_log_sum_exp_ignores_minus_infinity_and_far_terms) {
  for (const KernelTable* table : cpu::AvailableKernels()) {
    const std::vector<float> x = {-kInfinity, 3, -1e30f, 3, -200};
    KV_EXPECT(std::abs(LogSumExp(*table, x.data(), 5, 1) - (3 + std::log(2.0))) <= kExpError);
    KV_EXPECT_EQ(LogSumExp(*table, x.data() + 1, 1, 0.5f), 1.5);
  }
}

}  // namespace
}  // namespace kvasir::testing

// Norms and rows added to the residual stream, scaling, the soft cap and the output gate: the scalar table against exact
// compositions and float64, every other table against the scalar one by bits.
#include <algorithm>
#include <cmath>
#include <limits>

#include "backend/cpu/kernel_select.h"
#include "testing/kernel_inputs.h"
#include "testing/native_tests.h"

namespace kvasir::testing {
namespace {

using cpu::KernelTable;

const int64_t kWidths[] = {1, 7, 15, 16, 17, 31, 63, 64, 65, 127, 191, 576, 1025};
constexpr double kExpError = 2e-7;     // relative, of Exp
constexpr double kTanhError = 1.6e-7;  // relative, of Tanh: 1.3 units in the last place
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// What the kernels read, n values each, and the numbers that they are told.
struct Inputs {
  std::vector<float> x, y, weight, bias;
  float scale = 1;
  int64_t n() const { return static_cast<int64_t>(x.size()); }
};

Inputs Draw(Random& random, int64_t n, Pattern pattern) {
  return {random.Bells(n), Values(random, n, pattern), random.Bells(n), random.Bells(n),
          random.Uniform(-2, 2)};
}

// One kernel on a copy of x.
template <typename Kernel>
std::vector<float> InPlace(const Inputs& in, const Kernel& kernel) {
  Guarded x(in.n());
  std::copy(in.x.begin(), in.x.end(), x.data());
  kernel(x.data());
  KV_EXPECT(x.intact());
  return x.values();
}

enum class Op { kAddScaled, kScale, kSoftCap, kGate, kRmsAdd, kLayerAdd, kLayerAddWithoutBias };
constexpr Op kOps[] = {
    Op::kAddScaled,          Op::kScale, Op::kSoftCap, Op::kGate, Op::kRmsAdd, Op::kLayerAdd,
    Op::kLayerAddWithoutBias};

std::vector<float> Run(const KernelTable& table, Op op, const Inputs& in) {
  const int64_t n = in.n();
  const cpu::RowNorm norm = {in.weight.data(), op == Op::kLayerAdd ? in.bias.data() : nullptr, 1e-5f};
  return InPlace(in, [&](float* x) {
    switch (op) {
      case Op::kAddScaled: return table.add_scaled(in.y.data(), n, in.scale, x);
      case Op::kScale: return table.scale_values(n, in.scale, x);
      case Op::kSoftCap: return table.soft_cap(n, std::abs(in.scale) + 0.5f, x);
      case Op::kGate: return table.sigmoid_gate(in.y.data(), n, x);
      case Op::kRmsAdd: return table.rms_norm_add(in.y.data(), norm, n, in.scale, x);
      case Op::kLayerAdd:
      case Op::kLayerAddWithoutBias: return table.layer_norm_add(in.y.data(), norm, n, in.scale, x);
    }
  });
}

KV_TEST(kernel_residual_ops_equal_scalar) {
  for (const KernelTable* table : OtherKernels()) {
    Random random(51);
    for (const int64_t n : kWidths) {
      for (int pattern = 0; pattern < kPatterns; ++pattern) {
        Inputs in = Draw(random, n, static_cast<Pattern>(pattern));
        for (const Op op : kOps) {
          KV_EXPECT_EQ(BitDifference(Run(*table, op, in), Run(cpu::ScalarKernels(), op, in)), "");
        }
        const float ends[] = {kInfinity, -kInfinity, NAN, 88.5f, -88.5f, -0.0f, 0.6f, 1e-40f};
        for (size_t i = 0; i < std::min<size_t>(8, in.x.size()); ++i) in.x[i] = in.y[i] = ends[i];
        for (const Op op : {Op::kAddScaled, Op::kScale, Op::kSoftCap, Op::kGate}) {
          KV_EXPECT_EQ(BitDifference(Run(*table, op, in), Run(cpu::ScalarKernels(), op, in)), "");
        }
      }
    }
  }
}

// A fused add of what the norm alone gives.
KV_TEST(kernel_norm_add_is_the_norm_and_one_fused_add) {
  for (const KernelTable* table : cpu::AvailableKernels()) {
    Random random(52);
    for (const int64_t n : kWidths) {
      const Inputs in = Draw(random, n, Pattern::kOutliers);
      for (const Op op : {Op::kRmsAdd, Op::kLayerAdd, Op::kLayerAddWithoutBias}) {
        std::vector<float> normed(in.x.size()), expected = in.x;
        if (op == Op::kRmsAdd) {
          table->rms_norm(in.y.data(), in.weight.data(), n, 1e-5f, normed.data());
        } else {
          const float* bias = op == Op::kLayerAdd ? in.bias.data() : nullptr;
          table->layer_norm(in.y.data(), in.weight.data(), bias, n, 1e-5f, normed.data());
        }
        for (size_t i = 0; i < expected.size(); ++i) {
          expected[i] = std::fma(normed[i], in.scale, expected[i]);
        }
        KV_EXPECT_EQ(BitDifference(Run(*table, op, in), expected), "");
      }
    }
  }
}

KV_TEST(kernel_rms_norm_is_its_two_halves) {
  for (const KernelTable* table : cpu::AvailableKernels()) {
    Random random(53);
    for (const int64_t n : kWidths) {
      const Inputs in = Draw(random, n, Pattern::kBell);
      std::vector<float> whole(in.y.size()), halves(in.y.size());
      table->rms_norm(in.y.data(), in.weight.data(), n, 1e-6f, whole.data());
      const float scale = table->rms_scale(in.y.data(), n, 1e-6f);
      // In parts, as heads of a row are.
      for (int64_t first = 0; first < n; first += 40) {
        table->scale_by_weight(in.y.data() + first, in.weight.data() + first,
                               std::min<int64_t>(40, n - first), scale, halves.data() + first);
      }
      KV_EXPECT_EQ(BitDifference(halves, whole), "");
    }
  }
}

KV_TEST(kernel_added_and_scaled_rows_are_exact) {
  for (const KernelTable* table : cpu::AvailableKernels()) {
    Random random(54);
    for (const int64_t n : kWidths) {
      const Inputs in = Draw(random, n, Pattern::kOutliers);
      std::vector<float> added = in.x, scaled = in.x;
      for (size_t i = 0; i < added.size(); ++i) added[i] = std::fma(in.y[i], in.scale, added[i]);
      for (float& value : scaled) value *= in.scale;
      KV_EXPECT_EQ(BitDifference(Run(*table, Op::kAddScaled, in), added), "");
      KV_EXPECT_EQ(BitDifference(Run(*table, Op::kScale, in), scaled), "");
    }
  }
}

// Values around both branches of tanh, small ones too: the error is relative.
std::vector<float> TanhInputs(Random& random) {
  std::vector<float> x = {0.75f,  -0.75f, 0.74999997f, -0.74999997f, 0,   -0.0f,
                          1e-40f, 9.1f,   44,          -44,          100, -1e30f};
  for (int i = 0; i < (kSanitized ? 2000 : 40000); ++i) x.push_back(random.Uniform(-10, 10));
  for (int i = 0; i < 4000; ++i) x.push_back(std::ldexp(random.Bell(), i % 60 - 55));
  return x;
}

std::string FarFromTanh(const std::vector<float>& x, const std::vector<float>& oracle_x, float cap) {
  std::vector<double> expected, tolerance;
  for (const float v : oracle_x) {
    // x / cap is rounded once, which moves tanh by no more than that relative to itself; then one product.
    const double value = cap * std::tanh(static_cast<double>(v) / cap);
    expected.push_back(value);
    tolerance.push_back(std::abs(value) * (kTanhError + 2.1 * kUnit) + 0x1p-149 * (1 + cap));
  }
  const Inputs in = {x, {}, {}, {}, 0};
  const auto capped = InPlace(in, [&](float* values) { cpu::ScalarKernels().soft_cap(in.n(), cap, values); });
  return Excess(capped, expected, tolerance);
}

KV_TEST(kernel_soft_cap_is_that_of_float64) {
  Random random(55);
  const std::vector<float> x = TanhInputs(random);
  for (const float cap : {1.0f, 30.0f, 50.0f, 0.3f}) {
    KV_EXPECT_EQ(FarFromTanh(x, x, cap), "");
    std::vector<float> other = x;
    other[20] += 0.001f;
    if (std::abs(other[20]) < cap) KV_EXPECT(FarFromTanh(x, other, cap) != "");
  }
  for (const KernelTable* table : cpu::AvailableKernels()) {
    std::vector<float> ends = {kInfinity, -kInfinity, NAN, -0.0f};
    table->soft_cap(4, 30, ends.data());
    KV_EXPECT(ends[0] == 30 && ends[1] == -30 && std::isnan(ends[2]) && std::signbit(ends[3]));
  }
}

KV_TEST(kernel_output_gate_is_that_of_float64) {
  Random random(56);
  Inputs in;
  in.y = TanhInputs(random);
  for (float& value : in.y) value = std::clamp(9 * value, -86.0f, 1000.0f);
  in.y[50] = 0.5f;
  in.x = random.Bells(static_cast<int64_t>(in.y.size()));
  std::vector<double> expected, tolerance;
  for (size_t i = 0; i < in.x.size(); ++i) {
    expected.push_back(in.x[i] / (1 + std::exp(-static_cast<double>(in.y[i]))));
    tolerance.push_back(std::abs(expected.back()) * (kExpError + 4 * kUnit) + 0x1p-149);
  }
  KV_EXPECT_EQ(Excess(Run(cpu::ScalarKernels(), Op::kGate, in), expected, tolerance), "");
  in.y[50] += 0.01f;
  KV_EXPECT(Excess(Run(cpu::ScalarKernels(), Op::kGate, in), expected, tolerance) != "");
}

// (u + 1) g sigmoid(alpha g)
double ClampedSwiglu(double gate, double up, const cpu::SwigluForm& form, bool gated) {
  const double g = std::min(gate, static_cast<double>(form.limit));
  const double u = std::clamp(up, -static_cast<double>(form.limit), static_cast<double>(form.limit));
  return (gated ? u + 1 : 1) * g / (1 + std::exp(-form.alpha * g));
}

KV_TEST(kernel_clamped_swiglu_is_that_of_float64) {
  Random random(57);
  for (const KernelTable* table : cpu::AvailableKernels()) {
    for (const cpu::SwigluForm form : {cpu::SwigluForm{1.702f, 7}, cpu::SwigluForm{1, 0.5f}}) {
      for (const bool gated : {false, true}) {
        for (const int64_t n : {1, 15, 16, 17, 116, 3000}) {
          std::vector<float> gate = random.Bells(n, 5), up = random.Bells(n, 5);
          gate[0] = -87.3f;  // exp saturates beyond
          std::vector<double> expected, tolerance;
          for (size_t i = 0; i < gate.size(); ++i) {
            expected.push_back(ClampedSwiglu(gate[i], up[i], form, gated));
            const double g = std::abs(std::min(gate[i], form.limit));
            // exp's argument is rounded once, u + 1 once more; below exp(88) nothing is told apart.
            tolerance.push_back(std::abs(expected.back()) * (kExpError + (form.alpha * g + 6) * kUnit) +
                                8 * g * std::exp(-87.9) + 0x1p-149);
            if (gated) tolerance.back() += g * 2 * kUnit;
          }
          const auto run = [&](const KernelTable& kernels) {
            Guarded out(n);
            kernels.clamped_swiglu(gated ? gate.data() : nullptr, gated ? up.data() : gate.data(), n, form,
                                   out.data());
            KV_EXPECT(out.intact());
            return out.values();
          };
          KV_EXPECT_EQ(Excess(run(*table), expected, tolerance), "");
          KV_EXPECT_EQ(BitDifference(run(*table), run(cpu::ScalarKernels())), "");
          gate.back() = gate.back() < 0 ? 1 : -1;
          KV_EXPECT(Excess(run(*table), expected, tolerance) != "");
        }
      }
    }
  }
}

}  // namespace
}  // namespace kvasir::testing

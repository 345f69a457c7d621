// Norms and rotation: every table against the scalar one by bits, the scalar one against float64.
#include <cmath>
#include <numeric>

#include "backend/cpu/kernel_select.h"
#include "testing/kernel_inputs.h"
#include "testing/native_tests.h"

namespace kvasir::testing {
namespace {

using cpu::KernelTable;

const int64_t kWidths[] = {1, 2, 7, 15, 16, 17, 31, 33, 63, 64, 65, 96, 127, 191, 576, 1025};

struct NormCase {
  bool layer;
  bool with_bias;
  float eps;
  std::vector<float> x, weight, bias;
};

// Denormal and huge values too; the zero row with eps 0 gives the same NaN everywhere.
std::vector<NormCase> NormCases(Random& random) {
  std::vector<NormCase> cases;
  for (const int64_t n : kWidths) {
    for (int pattern = 0; pattern < kPatterns; ++pattern) {
      for (const bool layer : {false, true}) {
        const bool with_bias = layer && random.Integer(0, 1) == 0;
        const float eps = random.Integer(0, 3) == 0 ? 0.0f : 1e-5f;
        cases.push_back({layer, with_bias, eps, Values(random, n, static_cast<Pattern>(pattern)),
                         random.Bells(n), random.Bells(n)});
      }
    }
  }
  return cases;
}

std::vector<float> Run(const KernelTable& table, const NormCase& c) {
  const int64_t n = static_cast<int64_t>(c.x.size());
  Guarded out(n);
  if (c.layer) {
    table.layer_norm(c.x.data(), c.weight.data(), c.with_bias ? c.bias.data() : nullptr, n, c.eps,
                     out.data());
  } else {
    table.rms_norm(c.x.data(), c.weight.data(), n, c.eps, out.data());
  }
  KV_EXPECT(out.intact());
  return out.values();
}

// With exact sums, out = (x - mean) / sigma * weight + bias. First order: `shift` bounds the error of x - mean and,
// by the triangle inequality, of sigma; sums of 16 lanes and a tree of 4 make the relative part. Denormal steps are absolute, and 1 / sigma magnifies them.
std::string FarFromOracle(const NormCase& c) {
  const double n = static_cast<double>(c.x.size());
  const double sum = std::accumulate(c.x.begin(), c.x.end(), 0.0);
  double magnitude = 0, squares = 0, largest = 0;
  const double mean = c.layer ? sum / n : 0;
  for (const float x : c.x) {
    magnitude += std::abs(x) / n;
    squares += (x - mean) * (x - mean) / n;
    largest = std::max(largest, std::abs(x - mean));
  }
  const double sigma = std::sqrt(squares + c.eps);
  const double roundings = Gamma(n / 16 + 12);
  const double shift = c.layer ? roundings * magnitude + kUnit * largest : 0;
  std::vector<double> expected, tolerance;
  for (size_t i = 0; i < c.x.size(); ++i) {
    const double centred = std::abs(c.x[i] - mean) / sigma, weight = std::abs(c.weight[i]);
    const double bias = c.with_bias ? c.bias[i] : 0;
    expected.push_back((c.x[i] - mean) / sigma * c.weight[i] + bias);
    tolerance.push_back(1.01 * weight * (shift / sigma * (1 + centred) + roundings * centred) +
                        kUnit * std::abs(bias) + 0x1p-149 * (1 + weight) * (1 + 4 / sigma));
  }
  return Excess(Run(cpu::ScalarKernels(), c), expected, tolerance);
}

KV_TEST(kernel_norms_are_those_of_float64) {
  Random random(11);
  for (const NormCase& c : NormCases(random)) {
    // With eps 0 the ratio of denormals has no relative bound, and 0 / 0 no value.
    if (c.eps > 0) KV_EXPECT_EQ(FarFromOracle(c), "");
  }
}

KV_TEST(kernel_norms_equal_scalar) {
  for (const KernelTable* table : OtherKernels()) {
    Random random(12);
    for (NormCase& c : NormCases(random)) {
      const std::vector<float> expected = Run(cpu::ScalarKernels(), c);
      KV_EXPECT_EQ(BitDifference(Run(*table, c), expected), "");
    }
  }
}

KV_TEST(kernel_norm_comparison_sees_each_part) {
  for (const bool layer : {false, true}) {
    Random random(13);
    for (const int64_t n : kWidths) {
      if (n == 1) continue;  // one value is its own mean
      NormCase c{layer, layer, 1e-5f, random.Bells(n), random.Bells(n), random.Bells(n)};
      const std::vector<float> expected = Run(cpu::ScalarKernels(), c);
      const auto differs = [&] { return BitDifference(Run(cpu::ScalarKernels(), c), expected) != ""; };
      const size_t at = static_cast<size_t>(random.Integer(0, n - 1));
      for (float* value : {&c.x[at], &c.weight[at], layer ? &c.bias[at] : &c.x[at], &c.eps}) {
        const float before = *value;
        *value += 0.5f;
        KV_EXPECT(differs());
        *value = before;
        KV_EXPECT(!differs());
      }
    }
  }
}

std::vector<float> Rotated(const KernelTable& table, std::vector<float> x, int block) {
  table.rotate_blocks(x.data(), static_cast<int64_t>(x.size()), block);
  return x;
}

constexpr int kBlocks[] = {1, 2, 4, 8, 16, 32, 64};

// Each stage of butterflies rounds once, and the scaling twice.
KV_TEST(kernel_rotation_is_the_hadamard_transform) {
  Random random(14);
  for (const int block : kBlocks) {
    for (const int64_t n : {1, 63, 64, 65, 192, 200}) {
      const std::vector<float> x = Matrix(random, 1, n);
      std::vector<double> tolerance(x.size());
      for (int64_t base = 0; base + block <= n; base += block) {
        double magnitude = 0;
        for (int64_t i = base; i < base + block; ++i) magnitude += std::abs(x[static_cast<size_t>(i)]);
        for (int64_t i = base; i < base + block; ++i) {
          tolerance[static_cast<size_t>(i)] = Gamma(8) * magnitude / std::sqrt(block);
        }
      }
      if (block == 1) tolerance.assign(tolerance.size(), 0);
      KV_EXPECT_EQ(Excess(Rotated(cpu::ScalarKernels(), x, block), RotatedBlocks(x, block), tolerance), "");
    }
  }
}

KV_TEST(kernel_rotation_is_orthonormal_symmetric_and_undoes_itself) {
  for (const KernelTable* table : cpu::AvailableKernels()) {
    for (const int block : kBlocks) {
      const size_t n = static_cast<size_t>(block);
      std::vector<std::vector<float>> h;
      for (size_t i = 0; i < n; ++i) {
        std::vector<float> unit(n, 0.0f);
        unit[i] = 1;
        h.push_back(Rotated(*table, unit, block));
        KV_EXPECT_EQ(Excess(Rotated(*table, h[i], block), std::vector<double>(unit.begin(), unit.end()),
                            std::vector<double>(n, Gamma(16))),
                     "");
      }
      for (size_t i = 0; i < n; ++i) {
        for (size_t j = 0; j < n; ++j) {
          double dot = 0;
          for (size_t k = 0; k < n; ++k) dot += static_cast<double>(h[i][k]) * h[j][k];
          KV_EXPECT(std::abs(dot - (i == j ? 1 : 0)) <= Gamma(16));
          KV_EXPECT_EQ(h[i][j], h[j][i]);
        }
      }
    }
  }
}

KV_TEST(kernel_rotation_equals_scalar) {
  for (const KernelTable* table : OtherKernels()) {
    Random random(15);
    for (const int block : kBlocks) {
      for (const int64_t n : {block - 1, block, 3 * block, 3 * block + 5, 640}) {
        std::vector<float> x = Matrix(random, 1, n);
        const std::vector<float> expected = Rotated(cpu::ScalarKernels(), x, block);
        KV_EXPECT_EQ(BitDifference(Rotated(*table, x, block), expected), "");
        if (x.empty()) continue;
        x[static_cast<size_t>(random.Integer(0, n - 1))] += 1;
        KV_EXPECT(BitDifference(Rotated(*table, x, block), expected) != "");
      }
    }
  }
}

}  // namespace
}  // namespace kvasir::testing

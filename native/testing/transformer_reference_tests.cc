// Whole models against the float64 transformer.
#include <cmath>

#include "backend/cpu/kernel_select.h"
#include "testing/kernel_inputs.h"
#include "testing/native_tests.h"
#include "testing/transformer_reference.h"

namespace kvasir::testing {
namespace {

constexpr int64_t kTokens = kSanitized ? 60 : 300;

struct Distance {
  double largest = 0, rms = 0, rms_expected = 0;
};

Distance DistanceOf(const Rows& actual, const std::vector<std::vector<double>>& expected) {
  Distance d;
  double n = 0;
  for (size_t row = 0; row < expected.size(); ++row) {
    for (size_t i = 0; i < expected[row].size(); ++i, ++n) {
      const double error = actual[row][i] - expected[row][i];
      // A comparison with NaN would be false: let it count.
      if (!(std::abs(error) <= d.largest)) d.largest = std::isnan(error) ? HUGE_VAL : std::abs(error);
      d.rms += error * error;
      d.rms_expected += expected[row][i] * expected[row][i];
    }
  }
  d.rms = std::sqrt(d.rms / n);
  d.rms_expected = std::sqrt(d.rms_expected / n);
  return d;
}

// Rounding errors behave like independent noise. A sum of k products of size 1/sqrt(k) ends with a relative error of
// about sqrt(k / 2) u (a partial sum's error is half its final size on average), each layer has 6 such sums in a row
// (norm, qkv, attention, o, up, down) and a residual stream that carries them on, the head has 2 more:
// rms = sqrt(6 L + 2) sqrt(k / 2) u, and the largest of 40,000 values lies below 5 rms.
double Tolerance(const ModelSpec& s, double rms_expected) {
  const double sums = 6 * static_cast<double>(s.n_layers()) + 2;
  const double k = static_cast<double>(std::max(s.hidden_size, s.ffn_size()));
  return 5 * std::sqrt(sums * k / 2) * kUnit * rms_expected;
}

KV_TEST(transformer_fp32_is_the_float64_transformer) {
  for (const ModelKind& kind : {LlamaLike(), LlamaLikeHalf(), WideHeads(), GptLike()}) {
    RandomContainer container(kind, 17);
    const std::vector<int32_t> tokens = RandomTokens(18, kTokens, kind.spec.vocab_size);
    const std::vector<std::vector<double>> expected = Float64Model(kind, container).Logits(tokens);
    Setup setup;
    setup.isa = cpu::AvailableKernels().back()->name;
    const auto distance = [&] {
      const std::unique_ptr<Transformer> t = Load(kind, container, setup);
      return DistanceOf(Append(*t, t->cache().Create(), tokens, 0, kTokens), expected);
    };
    const Distance d = distance();
    const double tolerance = Tolerance(kind.spec, d.rms_expected);
    KV_EXPECT(d.rms_expected > 0.3);
    KV_EXPECT(d.largest <= tolerance);
    // A thousandth of one weight of each matrix is seen.
    for (const char* name :
         {"layers.0.q.weight", "layers.1.k.weight", "layers.0.v.weight", "layers.1.o.weight",
          "layers.0.up.weight", "layers.1.down.weight", "layers.0.attn_norm.weight"}) {
      float& weight = container.values(name)[7];
      const float before = weight;
      weight += 0.005f;
      KV_EXPECT(distance().largest > tolerance);
      weight = before;
    }
  }
}

// INT8 is an approximation: 8 bits a value, half a step of amax / 127 off at most. What it may cost is measured on real
// models; here a wrong scale, rotation or head order would be as far away as the logits are large.
KV_TEST(transformer_int8_is_near_the_float64_transformer) {
  for (const ModelKind& kind : {LlamaLike(), LlamaLikeHalf(), WideHeads(), GptLike()}) {
    const RandomContainer container(kind, 17);
    const std::vector<int32_t> tokens = RandomTokens(18, 60, kind.spec.vocab_size);
    const std::vector<std::vector<double>> expected = Float64Model(kind, container).Logits(tokens);
    for (const Dtype kv_dtype : {Dtype::kInt8, Dtype::kF16, Dtype::kF32}) {
      const std::unique_ptr<Transformer> t = Load(kind, container, {Dtype::kInt8, kv_dtype, "", 1});
      const Distance d = DistanceOf(Append(*t, t->cache().Create(), tokens, 0, 60), expected);
      KV_EXPECT(d.rms < 0.05 * d.rms_expected);
    }
  }
}

}  // namespace
}  // namespace kvasir::testing

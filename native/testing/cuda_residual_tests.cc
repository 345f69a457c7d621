// CUDA's norms and rows added to the residual stream, scaling, the soft cap and the output gate, against the kernels of the
// CPU's scalar table with `==`.
#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "backend/cpu/kernel_table.h"
#include "backend/cuda/kernels.h"
#include "testing/cuda_device_array.h"
#include "testing/kernel_inputs.h"
#include "testing/native_tests.h"

namespace kvasir::testing {
namespace {

constexpr int64_t kRows = 5;
const int64_t kWidths[] = {1, 15, 17, 64, 65, 191, 576, 2049};
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// x after `op` on the device equals x after `row` of each of its rows on the CPU.
struct Case {
  int64_t width;
  std::vector<float> x, y, weight, bias;

  Case(Random& random, int64_t a_width)
      : width(a_width),
        x(random.Bells(kRows * width)),
        y(Matrix(random, kRows, width)),
        weight(random.Bells(width)),
        bias(random.Bells(width)) {
    const float ends[] = {kInfinity, -kInfinity, NAN, 88.5f, -88.5f, -0.0f, 0.6f, -0.59f};
    const size_t n = std::min<size_t>(8, x.size());
    std::copy_n(ends, n, x.begin());
  }

  // row(y, x, index)
  void Expect(const std::function<void(const float*, float*, int64_t)>& row,
              const std::function<void(const float*, float*)>& op) const {
    std::vector<float> expected = x;
    for (int64_t i = 0; i < kRows; ++i) row(y.data() + i * width, expected.data() + i * width, i);
    WithThreadOrders([&] {
      DeviceArray<float> dx(x), dy(y);
      op(dy.data(), dx.data());
      KV_EXPECT_EQ(BitDifference(dx.Read(), expected), "");
    });
  }
};

const cpu::KernelTable& Scalar() { return cpu::ScalarKernels(); }

KV_TEST(cuda_add_norm_equals_the_cpu) {
  Random random(71);
  for (const int64_t width : kWidths) {
    Case c(random, width);
    for (const bool layer : {false, true}) {
      for (const bool with_bias : {false, true}) {
        if (with_bias && !layer) continue;
        const cpu::RowNorm norm = {c.weight.data(), with_bias ? c.bias.data() : nullptr, 1e-5f};
        const auto normed = [&](const float* x, float* out) {
          if (layer) {
            Scalar().layer_norm(x, norm.weight, norm.bias, width, norm.eps, out);
          } else {
            Scalar().rms_norm(x, norm.weight, width, norm.eps, out);
          }
        };
        const auto on_device = [&](JoinForm join, bool with_y) {
          return [&c, join, with_y, layer, with_bias, width](const float* y, float* x) {
            DeviceArray<float> weight(c.weight), bias(c.bias);
            const NormWeight own = {layer ? NormKind::kLayer : NormKind::kRms, 1e-5f, weight.data(),
                                    with_bias ? bias.data() : nullptr};
            cuda::AddNorm({join, 0.75f, &own}, with_y ? y : nullptr, kRows, width, x, nullptr);
          };
        };
        c.Expect(
            [&](const float* y, float* x, int64_t) {
              (layer ? Scalar().layer_norm_add : Scalar().rms_norm_add)(y, norm, width, 0.75f, x);
            },
            on_device(JoinForm::kNormThenAdd, true));
        c.Expect(
            [&](const float* y, float* x, int64_t) {
              Scalar().add_scaled(y, width, 1.0f, x);
              normed(x, x);
            },
            on_device(JoinForm::kAddThenNorm, true));
        c.Expect([&](const float*, float* x, int64_t) { normed(x, x); },
                 on_device(JoinForm::kAddThenNorm, false));
      }
    }
    c.Expect([&](const float* y, float* x, int64_t) { Scalar().add_scaled(y, width, 0.22f, x); },
             [&](const float* y, float* x) {
               cuda::AddNorm({JoinForm::kAdd, 0.22f, nullptr}, y, kRows, width, x, nullptr);
             });
  }
}

KV_TEST(cuda_add_scaled_rows_equal_the_cpu) {
  Random random(72);
  for (const int64_t width : kWidths) {
    const Case c(random, width);
    const std::vector<float> factors = {0.5f, -3, 0, -100, 100};
    for (const bool sigmoid : {false, true}) {
      c.Expect(
          [&](const float* y, float* x, int64_t row) {
            float factor = sigmoid ? 1.0f : factors[static_cast<size_t>(row)];
            if (sigmoid) Scalar().sigmoid_gate(&factors[static_cast<size_t>(row)], 1, &factor);
            Scalar().add_scaled(y, width, factor, x);
          },
          [&](const float* y, float* x) {
            DeviceArray<float> values(factors);
            cuda::AddScaledRows({values.data(), sigmoid}, y, kRows, width, x, nullptr);
          });
    }
  }
}

KV_TEST(cuda_scale_and_soft_cap_equal_the_cpu) {
  Random random(73);
  for (const int64_t width : kWidths) {
    Case c(random, width);
    for (size_t i = 8; i < c.x.size(); ++i) c.x[i] *= std::ldexp(1.0f, static_cast<int>(i % 8));
    for (const Scaling scaling : {Scaling{0.0625f, 0}, Scaling{1, 30}, Scaling{0.3f, 1}}) {
      c.Expect(
          [&](const float*, float* x, int64_t) {
            Scalar().scale_values(width, scaling.scale, x);
            if (scaling.cap > 0) Scalar().soft_cap(width, scaling.cap, x);
          },
          [&](const float*, float* x) { cuda::Scale(scaling, kRows, width, x, nullptr); });
    }
  }
}

KV_TEST(cuda_output_gate_equals_the_cpu) {
  Random random(74);
  for (const int64_t width : kWidths) {
    Case c(random, width);
    // The gate is part of wider rows.
    const int64_t ld = width + 3;
    const std::vector<float> gate = random.Bells(kRows * ld, 30);
    c.Expect(
        [&](const float*, float* x, int64_t row) { Scalar().sigmoid_gate(gate.data() + row * ld, width, x); },
        [&](const float*, float* x) {
          DeviceArray<float> own(gate);
          cuda::ApplyGate(own.data(), ld, kRows, width, x, nullptr);
        });
  }
}

}  // namespace
}  // namespace kvasir::testing

// The residual ops on the CPU backend: each row what the kernels of its table give, for any number of rows and threads.
#include <algorithm>
#include <functional>

#include "backend/cpu.h"
#include "backend/cpu/kernel_select.h"
#include "testing/kernel_inputs.h"
#include "testing/native_tests.h"

namespace kvasir::testing {
namespace {

using cpu::KernelTable;

// Rows of x after `op` are those after `row`, which is told its index, y and x.
struct Case {
  const KernelTable& table;
  Backend& backend;
  int64_t rows, width;
  std::vector<float> x, y, weight, bias;

  void Expect(const std::function<void(int64_t, const float*, float*)>& row,
              const std::function<void(float*)>& op) const {
    std::vector<float> actual = x, expected = x;
    op(actual.data());
    for (int64_t i = 0; i < rows; ++i) row(i, y.data() + i * width, expected.data() + i * width);
    KV_EXPECT_EQ(BitDifference(actual, expected), "");
  }
};

void ExpectAddNorm(const Case& c) {
  for (const NormKind kind : {NormKind::kRms, NormKind::kLayer}) {
    const NormWeight norm = {kind, 1e-5f, c.weight.data(),
                             kind == NormKind::kLayer ? c.bias.data() : nullptr};
    const cpu::RowNorm row_norm = {norm.weight, norm.bias, norm.eps};
    const auto normed = [&](float* x) {
      if (kind == NormKind::kRms) {
        c.table.rms_norm(x, norm.weight, c.width, norm.eps, x);
      } else {
        c.table.layer_norm(x, norm.weight, norm.bias, c.width, norm.eps, x);
      }
    };
    c.Expect(
        [&](int64_t, const float* y, float* x) {
          (kind == NormKind::kRms ? c.table.rms_norm_add : c.table.layer_norm_add)(y, row_norm, c.width, 0.5f,
                                                                                   x);
        },
        [&](float* x) {
          c.backend.AddNorm({JoinForm::kNormThenAdd, 0.5f, &norm}, c.y.data(), c.rows, c.width, x);
        });
    c.Expect(
        [&](int64_t, const float* y, float* x) {
          c.table.add_scaled(y, c.width, 1.0f, x);
          normed(x);
        },
        [&](float* x) {
          c.backend.AddNorm({JoinForm::kAddThenNorm, 0.5f, &norm}, c.y.data(), c.rows, c.width, x);
        });
    c.Expect([&](int64_t, const float*, float* x) { normed(x); },
             [&](float* x) {
               c.backend.AddNorm({JoinForm::kAddThenNorm, 1, &norm}, nullptr, c.rows, c.width, x);
             });
  }
  c.Expect([&](int64_t, const float* y, float* x) { c.table.add_scaled(y, c.width, 0.22f, x); },
           [&](float* x) {
             c.backend.AddNorm({JoinForm::kAdd, 0.22f}, c.y.data(), c.rows, c.width, x);
           });
}

void ExpectFactors(const Case& c, Random& random) {
  const std::vector<float> factors = random.Bells(c.rows, 3);
  for (const bool sigmoid : {false, true}) {
    c.Expect(
        [&](int64_t row, const float* y, float* x) {
          float factor = sigmoid ? 1.0f : factors[static_cast<size_t>(row)];
          if (sigmoid) c.table.sigmoid_gate(&factors[static_cast<size_t>(row)], 1, &factor);
          c.table.add_scaled(y, c.width, factor, x);
        },
        [&](float* x) {
          c.backend.AddScaledRows({factors.data(), sigmoid}, c.y.data(), c.rows, c.width, x);
        });
  }
  for (const Scaling& scaling : {Scaling{22.5f, 0}, Scaling{1, 3}, Scaling{0.25f, 1}}) {
    c.Expect(
        [&](int64_t, const float*, float* x) {
          c.table.scale_values(c.width, scaling.scale, x);
          if (scaling.cap > 0) c.table.soft_cap(c.width, scaling.cap, x);
        },
        [&](float* x) { c.backend.Scale(scaling, c.rows, c.width, x); });
  }
}

void ExpectGate(const Case& c, Random& random) {
  const int64_t ld = c.width + 5;
  const std::vector<float> gate = random.Bells(c.rows * ld, 4);
  for (const int rotation : {1, 8, 64}) {
    c.Expect(
        [&](int64_t row, const float*, float* x) {
          c.table.rotate_blocks(x, c.width, rotation);
          c.table.sigmoid_gate(gate.data() + row * ld, c.width, x);
        },
        [&](float* x) {
          c.backend.ApplyGate({gate.data(), ld, rotation}, c.rows, c.width, x);
        });
  }
}

KV_TEST(ops_residual_rows_are_those_of_the_kernels) {
  for (const KernelTable* table : cpu::AvailableKernels()) {
    Random random(95);
    for (const int threads : {1, 3}) {
      const std::unique_ptr<Backend> backend = MakeCpuBackend(threads, table->name, 1, 16);
      for (const int64_t rows : {1, 4, 5, 23}) {
        for (const int64_t width : {1, 17, 64, 200}) {
          const Case c = {*table,
                          *backend,
                          rows,
                          width,
                          random.Bells(rows * width),
                          random.Bells(rows * width, 2),
                          random.Bells(width),
                          random.Bells(width)};
          ExpectAddNorm(c);
          ExpectFactors(c, random);
          ExpectGate(c, random);
        }
      }
    }
  }
}

}  // namespace
}  // namespace kvasir::testing

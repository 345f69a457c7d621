// CUDA's routing, gathering and sum of experts against the CPU's scalar table with `==`.
#include <algorithm>
#include <numeric>

#include "backend/cpu.h"
#include "backend/cuda/kernels.h"
#include "backend/cuda_library.h"
#include "testing/cuda_device_array.h"
#include "testing/experts_case.h"
#include "testing/kernel_inputs.h"
#include "testing/native_tests.h"
#include "testing/router_cases.h"

namespace kvasir::testing {
namespace {

KV_TEST(cuda_routing_equals_the_cpu) {
  Random random(81);
  for (RouterForm router : RouterCases()) {
    const bool biased = router.selection_bias != nullptr;
    const std::vector<std::vector<float>> cases = RouterLogits(random, router.n_experts);
    const size_t used = static_cast<size_t>(router.used);
    std::vector<float> logits, weights(cases.size() * used);
    std::vector<int32_t> ids(weights.size());
    for (size_t row = 0; row < cases.size(); ++row) {
      logits.insert(logits.end(), cases[row].begin(), cases[row].end());
      cpu::ScalarKernels().route(router, cases[row].data(), ids.data() + row * used,
                                 weights.data() + row * used);
    }
    WithThreadOrders([&] {
      DeviceArray<float> dlogits(logits), dweights(weights), bias(SelectionBias());
      DeviceArray<int32_t> dids(std::vector<int32_t>(ids.size(), -1));
      if (biased) router.selection_bias = bias.data();
      cuda::Route(router, dlogits.data(), static_cast<int64_t>(cases.size()), dids.data(), dweights.data(),
                  nullptr);
      KV_EXPECT(dids.Read() == ids);
      KV_EXPECT_EQ(BitDifference(dweights.Read(), weights), "");
    });
  }
}

KV_TEST(cuda_gathered_input_is_that_of_its_rows) {
  Random random(82);
  for (const int64_t width : {1, 17, 64, 130}) {
    const int64_t groups = (width + kGroup - 1) / kGroup;
    const std::vector<int32_t> rows = {4, 0, 3, 3, 1, 4, 2};
    const std::vector<float> f32 = random.Bells(5 * width), scales = random.Bells(5 * groups);
    std::vector<int8_t> values(static_cast<size_t>(5 * groups * kGroup));
    for (int8_t& value : values) value = static_cast<int8_t>(random.Integer(-127, 127));
    const auto gathered = [&](const auto& from, int64_t n) {
      auto out = from;
      out.clear();
      for (const int32_t row : rows)
        out.insert(out.end(), from.begin() + row * n, from.begin() + (row + 1) * n);
      return out;
    };
    WithThreadOrders([&] {
      DeviceArray<float> df32(f32), dscales(scales);
      DeviceArray<int8_t> dvalues(values);
      DeviceArray<int32_t> drows(rows);
      DeviceArray<float> out(std::vector<float>(rows.size() * static_cast<size_t>(width)));
      DeviceArray<float> out_scales(std::vector<float>(rows.size() * static_cast<size_t>(groups)));
      DeviceArray<int8_t> out_values(std::vector<int8_t>(rows.size() * static_cast<size_t>(groups * kGroup)));
      const cuda::Activations x = {.dtype = Dtype::kInt8,
                                   .width = width,
                                   .f32 = df32.data(),
                                   .values = dvalues.data(),
                                   .scales = dscales.data()};
      cuda::Activations to = {.dtype = Dtype::kInt8,
                              .width = width,
                              .f32 = out.data(),
                              .values = out_values.data(),
                              .scales = out_scales.data()};
      const int64_t n = static_cast<int64_t>(rows.size());
      cuda::GatherInput(x, drows.data(), n, to, nullptr);
      KV_EXPECT(out_values.Read() == gathered(values, groups * kGroup));
      KV_EXPECT_EQ(BitDifference(out_scales.Read(), gathered(scales, groups)), "");
      to.dtype = Dtype::kF32;
      cuda::GatherInput(x, drows.data(), n, to, nullptr);
      KV_EXPECT_EQ(BitDifference(out.Read(), gathered(f32, width)), "");
    });
  }
}

KV_TEST(cuda_sum_of_experts_equals_the_cpu) {
  Random random(83);
  const int64_t rows = 4;
  for (const int64_t width : {1, 17, 130}) {
    for (const int64_t used : {1, 2, 8}) {
      const std::vector<float> y = random.Bells(rows * used * width, 10), x = random.Bells(rows * width),
                               weights = random.Bells(rows * used);
      std::vector<int32_t> places(static_cast<size_t>(rows * used));
      for (int32_t& place : places) place = static_cast<int32_t>(random.Integer(0, rows * used - 1));
      for (const bool accumulate : {false, true}) {
        std::vector<float> expected = x;
        for (int64_t row = 0; row < rows; ++row) {
          cpu::ScalarKernels().sum_experts({y.data(), places.data() + row * used, weights.data() + row * used,
                                            static_cast<int>(used), accumulate},
                                           width, expected.data() + row * width);
        }
        WithThreadOrders([&] {
          DeviceArray<float> dy(y), dx(x), dweights(weights);
          DeviceArray<int32_t> dplaces(places);
          cuda::SumExperts({dy.data(), dplaces.data(), dweights.data(), used, accumulate}, rows, width,
                           dx.data(), nullptr);
          KV_EXPECT_EQ(BitDifference(dx.Read(), expected), "");
        });
      }
    }
  }
}

// Through the backend: routed, gathered, computed and summed.
KV_TEST(cuda_experts_equal_the_cpu) {
  Random random(84);
  const RouterForm router = {.score = RouterScore::kSigmoid, .n_experts = 4, .used = 2, .scale = 1.5f};
  for (const ExpertDtypes dtypes : {ExpertDtypes::kF32, ExpertDtypes::kInt8, ExpertDtypes::kMixed}) {
    for (const int64_t rows : {1, 7}) {
      ExpertsCase c = {.dtypes = dtypes,
                       .hidden = 130,
                       .size = 72,
                       .rows = rows,
                       .router = router,
                       .activation = {ActivationKind::kClampedSwiglu, 1.702f, 0.5f},
                       .accumulate = rows > 1};
      FillInputs(random, &c);
      const ExpertsResult expected = Run(c, *MakeCpuBackend(1, "scalar", 1, 16), false);
      WithThreadOrders([&] {
        const std::unique_ptr<Backend> gpu(
            kvasir_cuda_v1()->make_backend({.device = 0, .max_positions = 64, .padded_head_dim = 16}));
        const ExpertsResult actual = Run(c, *gpu, false);
        KV_EXPECT(actual.ids == expected.ids);
        KV_EXPECT_EQ(BitDifference(actual.weights, expected.weights), "");
        KV_EXPECT_EQ(BitDifference(actual.out, expected.out), "");
      });
    }
  }
}

}  // namespace
}  // namespace kvasir::testing

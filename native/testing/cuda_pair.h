// A model on the CPU and the same on the CUDA backend (emulated), which must give the same bits.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "testing/native_tests.h"
#include "testing/transformer_models.h"

namespace kvasir::testing {

struct Case {
  ModelKind kind;
  Setup setup;
  std::string name;
};

// Layers [first, n_layers) on the emulated GPU, those before on the CPU.
std::unique_ptr<Transformer> LoadOnGpu(const Case& c, const RandomContainer& container, int64_t first);

// Of the emulation.
void ExpectNoReports();

// tokens [first, first + n)
std::vector<int32_t> Part(const std::vector<int32_t>& tokens, int64_t first, int64_t n);

struct Pair {
  explicit Pair(const Case& c, int64_t first = 0)
      : container(c.kind, 7),
        cpu(testing::Load(c.kind, container, c.setup)),
        gpu(LoadOnGpu(c, container, first)),
        name(c.name) {}

  void ExpectEqual(const char* what, const Batch& cpu_batch, const Batch& gpu_batch) {
    const std::string difference = RowDifference(Forward(*gpu, gpu_batch), Forward(*cpu, cpu_batch));
    KV_EXPECT_EQ(difference.empty() ? "" : name + ", " + what + ": " + difference, "");
  }

  // Fresh sequences of the first so many tokens, in one batch.
  void ExpectEqualWhole(const std::vector<int32_t>& tokens, const std::vector<int64_t>& lengths) {
    const auto batch = [&](Transformer& t) {
      std::vector<std::pair<int32_t, std::vector<int32_t>>> parts;
      for (const int64_t n : lengths) {
        parts.push_back({t.cache().Create(), {tokens.begin(), tokens.begin() + n}});
      }
      return BatchOf(parts);
    };
    ExpectEqual("whole sequences", batch(*cpu), batch(*gpu));
  }

  RandomContainer container;
  std::unique_ptr<Transformer> cpu, gpu;
  std::string name;
};

}  // namespace kvasir::testing

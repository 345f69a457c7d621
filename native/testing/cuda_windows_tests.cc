// Layers with windows in page tables of their own, on the CUDA backend (emulated) against the CPU's, with `==` on every
// logit.
#include "testing/cuda_pair.h"
#include "testing/kernel_inputs.h"
#include "testing/native_tests.h"
#include "testing/transformer_models.h"

namespace kvasir::testing {
namespace {

// Pages are given back on the way: prompts, recorded steps of two sequences, a checkpoint;
// all on the GPU, and with layers on both.
KV_TEST(cuda_windows_equal_the_cpu) {
  ModelKind kind = LlamaLike();
  kind.spec.max_positions = 8192;
  for (const int64_t window : {20, 70}) {
    kind.spec.attentions.push_back(kind.attention());
    kind.spec.attentions.back().window = window;
  }
  kind.spec.stack.layers = {{1, 0}, {0, 0}, {2, 0}};
  const int64_t prompt = kSanitized ? 140 : 290;
  for (const Dtype dtype : {Dtype::kInt8, Dtype::kF32}) {
    for (const int64_t first : {0, 1}) {
      Pair pair({kind, {dtype, dtype, "", 1, 8192, 8192}, "windows"}, first);
      KV_EXPECT_EQ(pair.gpu->cache().n_tables(), 3);
      const std::vector<int32_t> tokens = RandomTokens(6, 400, kind.spec.vocab_size);
      std::vector<int32_t> cpu_ids, gpu_ids;
      const auto step = [&](const char* what, size_t sequences, int64_t at, int64_t n) {
        std::vector<std::pair<int32_t, std::vector<int32_t>>> cpu_parts, gpu_parts;
        for (size_t i = 0; i < sequences; ++i) {
          const std::vector<int32_t> part = Part(tokens, at + 20 * static_cast<int64_t>(i), n);
          cpu_parts.push_back({cpu_ids[i], part});
          gpu_parts.push_back({gpu_ids[i], part});
        }
        pair.ExpectEqual(what, BatchOf(cpu_parts), BatchOf(gpu_parts));
      };
      const auto fork = [&](int64_t length) {
        cpu_ids.insert(cpu_ids.begin(), pair.cpu->cache().Fork(cpu_ids[0], length));
        gpu_ids.insert(gpu_ids.begin(), pair.gpu->cache().Fork(gpu_ids[0], length));
      };
      cpu_ids = {pair.cpu->cache().Create(), pair.cpu->cache().Create()};
      gpu_ids = {pair.gpu->cache().Create(), pair.gpu->cache().Create()};
      step("prompt", 1, 0, prompt);
      fork(128);
      step("from a checkpoint", 1, 128, 9);
      fork(137);
      // Two that write into one shared page; the third and later steps of two are replayed.
      for (int64_t i = 0; i < 6; ++i) step("decode", 2, prompt + i, 1);
      for (int64_t table = 1; table < 3; ++table) {
        KV_EXPECT_EQ(pair.gpu->cache().Pages(gpu_ids[0], table)[0], -1);
      }
    }
  }
  ExpectNoReports();
}

}  // namespace
}  // namespace kvasir::testing

// A fixed piece of work whose instructions test/measured/instruction-counts.test.ts counts under callgrind: a prompt,
// then single tokens, of a small INT8 model on one thread. It is large enough for whole tiles and small enough for a
// simulator.
#include "testing/native_tests.h"
#include "testing/transformer_models.h"

namespace kvasir::testing {
namespace {

KV_TEST(workload_of_the_avx2_table) {
  ModelKind kind = WideHeads();
  kind.feed_forward().size = 256;
  const RandomContainer container(kind, 9);
  const std::vector<int32_t> tokens = RandomTokens(10, 104, kind.spec.vocab_size);
  const std::unique_ptr<Transformer> t = Load(kind, container, {Dtype::kInt8, Dtype::kInt8, "avx2", 1});
  const int32_t sequence = t->cache().Create();
  const Rows prompt = Append(*t, sequence, tokens, 0, 96);
  KV_EXPECT_EQ(prompt.size(), size_t{96});
  for (int64_t i = 96; i < 104; ++i) KV_EXPECT_EQ(Append(*t, sequence, tokens, i, 1).size(), size_t{1});
}

}  // namespace
}  // namespace kvasir::testing

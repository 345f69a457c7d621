// The trace of random specs: it changes nothing, and has what each linear of the table of tensors reads.
#include <map>
#include <set>

#include "model/tensors.h"
#include "testing/kernel_inputs.h"
#include "testing/native_tests.h"
#include "testing/random_specs.h"

namespace kvasir::testing {
namespace {

constexpr int64_t kTokens = 20;

class Shown final : public TapSink {
 public:
  void Record(const std::string& name, const float* values, int64_t rows, int64_t columns) override {
    std::vector<float>& all = tensors[name];  // what is wanted of many rows comes in parts
    all.insert(all.end(), values, values + rows * columns);
  }

  std::map<std::string, std::vector<float>> tensors;
};

void ExpectDistinctExperts(const ModelSpec& spec, int64_t layer, const std::vector<float>& used) {
  const ExpertsSpec& e = spec.feed_forward_of(layer).experts;
  KV_EXPECT_EQ(static_cast<int64_t>(used.size()), kTokens * e.used);
  for (auto row = used.begin(); row < used.end(); row += e.used) {
    const std::set<float> ids(row, row + e.used);
    KV_EXPECT_EQ(static_cast<int64_t>(ids.size()), e.used);
    KV_EXPECT(*ids.begin() >= 0 && *ids.rbegin() < static_cast<float>(e.count));
  }
}

KV_TEST(transformer_traces_have_what_each_linear_reads) {
  const uint32_t specs = kSanitized ? 5 : IsNightly() ? 150 : 25;
  int64_t experts = 0, shared = 0, gates = 0;
  for (uint32_t seed = 1; seed <= specs; ++seed) {
    const ModelKind kind = RandomKind(seed);
    const Dtype dtype = seed % 2 == 0 ? Dtype::kInt8 : Dtype::kF32;
    const RandomContainer container(kind, seed + 1000);
    const std::unique_ptr<Transformer> t = Load(kind, container, {dtype, dtype, "", 2, 64});
    const std::vector<int32_t> tokens = RandomTokens(seed, kTokens, kind.spec.vocab_size);
    const Rows expected = Append(*t, t->cache().Create(), tokens, 0, kTokens);
    Shown shown;
    const Rows traced = Forward(*t, BatchOf({{t->cache().Create(), tokens}}), &shown);
    KV_EXPECT_EQ(kind.name + RowDifference(traced, expected), kind.name);
    for (const ModelTensor& tensor : TensorsOf(kind.spec)) {
      const char* reads = ReadBy(tensor, kind.spec);
      const bool in_layer = tensor.layer >= 0 && tensor.layer < kind.spec.n_layers();
      KV_EXPECT_EQ(reads != nullptr, in_layer && tensor.role == TensorRole::kLinear);
      if (reads == nullptr || tensor.expert >= 0) continue;
      const std::string at = "layers." + std::to_string(tensor.layer) + ".";
      const bool is_shared = tensor.place == TensorPlace::kSharedDown;
      const std::string name = at + (is_shared ? "shared_activation" : reads);
      const auto size = static_cast<int64_t>(shown.tensors[name].size());
      KV_EXPECT_EQ(kind.name + " " + name + " " + std::to_string(size),
                   kind.name + " " + name + " " + std::to_string(kTokens * tensor.columns));
      shared += is_shared;
      gates += tensor.place == TensorPlace::kAttnGate;
      if (tensor.place != TensorPlace::kRouter) continue;
      ++experts;
      ExpectDistinctExperts(kind.spec, tensor.layer, shown.tensors[at + "experts_used"]);
    }
  }
  KV_EXPECT(kSanitized || (experts > 0 && shared > 0 && gates > 0));
}

}  // namespace
}  // namespace kvasir::testing

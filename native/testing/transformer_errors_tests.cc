// What a step must leave behind when it fails or is cancelled: typed errors, lengths and free pages as they were, and a
// next step that is right. Also that watching (taps) changes nothing.
#include <cmath>

#include "backend/cpu/kernel_select.h"
#include "testing/kernel_inputs.h"
#include "testing/native_tests.h"
#include "testing/transformer_models.h"

namespace kvasir::testing {
namespace {

std::string BestIsa() { return cpu::AvailableKernels().back()->name; }

constexpr std::pair<Dtype, Dtype> kPrecisions[] = {
    {Dtype::kF32, Dtype::kF32}, {Dtype::kInt8, Dtype::kInt8}, {Dtype::kInt8, Dtype::kF16}};

struct Model {
  ModelKind kind;
  RandomContainer container;
  std::unique_ptr<Transformer> transformer;

  Model(const ModelKind& k, Setup setup) : kind(k), container(k, 7) {
    setup.isa = BestIsa();
    transformer = Load(kind, container, setup);
  }
  Transformer& operator*() { return *transformer; }
  KvCache& cache() { return transformer->cache(); }
};

// Copies every tensor it is shown; cancels at the nth of one name.
class Recorder final : public TapSink {
 public:
  void CancelAt(const std::string& name, int count, CancellationToken* token) {
    cancel_name_ = name;
    cancel_count_ = count;
    token_ = token;
  }
  void Record(const std::string& name, const float* values, int64_t rows, int64_t columns) override {
    tensors[name].assign(values, values + rows * columns);
    if (name == cancel_name_ && --cancel_count_ == 0) token_->Cancel();
  }
  std::map<std::string, std::vector<float>> tensors;

 private:
  std::string cancel_name_;
  int cancel_count_ = 0;
  CancellationToken* token_ = nullptr;
};

KV_TEST(transformer_taps_change_nothing_and_see_everything) {
  for (const ModelKind& kind : {LlamaLike(), WideHeads(), GptLike()}) {
    for (const auto& [dtype, kv_dtype] : kPrecisions) {
      Model model(kind, {dtype, kv_dtype, "", 2, 128});
      const std::vector<int32_t> tokens = RandomTokens(5, 70, kind.spec.vocab_size);
      const Rows expected = Append(*model, model.cache().Create(), tokens, 0, 70);
      Recorder taps;
      const Rows tapped = Forward(*model, BatchOf({{model.cache().Create(), tokens}}), &taps);
      KV_EXPECT_EQ(RowDifference(tapped, expected), "");
      std::vector<std::string> names = {"embed", "final_norm", "logits"};
      for (int64_t layer = 0; layer < kind.spec.n_layers(); ++layer) {
        for (const char* op : {"attn_norm", "qkv", "scores", "weights", "attention", "attn_residual",
                               "ffn_norm", "gate_up", "activation", "ffn_residual"}) {
          names.push_back("layers." + std::to_string(layer) + "." + op);
        }
      }
      for (const std::string& name : names)
        KV_EXPECT_EQ(name + (taps.tensors.count(name) == 1 ? "" : " is missing"), name);
      const std::vector<float>& logits = taps.tensors.at("logits");  // of the last 70 % 16 rows
      KV_EXPECT_EQ(BitDifference({logits.end() - kind.spec.vocab_size, logits.end()}, expected.back()), "");
      // Each row of attention weights sums to 1 over what it may see, and is 0 beyond.
      const std::vector<float>& weights = taps.tensors.at("layers.1.weights");
      KV_EXPECT_EQ(static_cast<int64_t>(weights.size()), 70 * kind.spec.attentions[0].n_heads * 70);
      for (int64_t row = 0; row < 70 * kind.spec.attentions[0].n_heads; ++row) {
        double sum = 0, beyond = 0;
        for (int64_t i = 0; i < 70; ++i) {
          (i <= row / kind.spec.attentions[0].n_heads ? sum : beyond) +=
              std::abs(weights[static_cast<size_t>(row * 70 + i)]);
        }
        KV_EXPECT(std::abs(sum - 1) < 1e-5 && beyond == 0);
      }
    }
  }
}

// The heads' outputs as taps show them are in their own basis, rotation or not: close to those of the fp32 model.
KV_TEST(transformer_taps_show_attention_in_its_own_basis) {
  for (const ModelKind& kind : {LlamaLike(), WideHeads(), GptLike()}) {
    std::vector<std::vector<float>> attended;
    for (const auto& [dtype, kv_dtype] : kPrecisions) {
      Model model(kind, {dtype, kv_dtype, "", 1, 128});
      Recorder taps;
      Forward(*model, BatchOf({{model.cache().Create(), RandomTokens(5, 20, 131)}}), &taps);
      attended.push_back(taps.tensors.at("layers.0.attention"));
    }
    double square = 0;
    for (const float v : attended[0]) square += v * v;
    for (size_t i = 1; i < attended.size(); ++i) {
      double distance = 0;
      for (size_t j = 0; j < attended[0].size(); ++j)
        distance += std::pow(attended[i][j] - attended[0][j], 2);
      // INT8 of 64 rotated values keeps about 1 %; another basis would be as far as the vectors are long.
      KV_EXPECT(std::sqrt(distance / square) < 0.05);
      KV_EXPECT(distance > 0);
    }
  }
}

struct State {
  std::vector<int64_t> lengths;
  int64_t free_pages;
  bool operator==(const State& other) const {
    return lengths == other.lengths && free_pages == other.free_pages;
  }
};

State StateOf(Model& model, const std::vector<int32_t>& sequences) {
  State state{{}, model.cache().free_pages(0)};
  for (const int32_t id : sequences) state.lengths.push_back(model.cache().Length(id));
  return state;
}

KV_TEST(transformer_cancelled_step_leaves_no_trace) {
  for (const auto& [dtype, kv_dtype] : kPrecisions) {
    Model model(LlamaLike(), {dtype, kv_dtype, "", 2, 704});
    const std::vector<int32_t> tokens = RandomTokens(5, 600, 131), other = RandomTokens(6, 600, 131);
    const int32_t a = model.cache().Create(), b = model.cache().Create(), fresh = model.cache().Create();
    const Rows expected = Append(*model, fresh, tokens, 0, 600);
    Append(*model, a, tokens, 0, 40);
    Append(*model, b, tokens, 0, 70);
    const State before = StateOf(model, {a, b});
    // In layer 1 of the first step, and of the second one, when 512 tokens are committed already.
    for (const int step : {1, 2}) {
      CancellationToken token;
      Recorder taps;
      taps.CancelAt("layers.1.qkv", step, &token);
      const Batch wrong =
          BatchOf({{a, {other.begin(), other.begin() + 400}}, {b, {other.begin(), other.begin() + 200}}});
      KV_EXPECT_THROWS(ErrorCode::kCancelled, Forward(*model, wrong, &taps, &token));
      KV_EXPECT(taps.tensors.count("layers.1.qkv") == 1);
      KV_EXPECT_EQ(taps.tensors.count("layers.1.attn_residual"), static_cast<size_t>(step - 1));
      KV_EXPECT(StateOf(model, {a, b}) == before);
    }
    KV_EXPECT_EQ(RowDifference(Append(*model, a, tokens, 40, 30), expected, 40), "");
    KV_EXPECT_EQ(RowDifference(Append(*model, b, tokens, 70, 530), expected, 70), "");
  }
}

KV_TEST(transformer_cancelled_before_it_starts) {
  Model model(LlamaLike(), {});
  const int32_t a = model.cache().Create();
  CancellationToken token;
  token.Cancel();
  KV_EXPECT_THROWS(ErrorCode::kCancelled, Forward(*model, BatchOf({{a, {1, 2, 3}}}), nullptr, &token));
  KV_EXPECT_EQ(model.cache().Length(a), 0);
  KV_EXPECT_EQ(model.cache().free_pages(0), model.cache().table(0).n_pages);
}

KV_TEST(transformer_refuses_what_cannot_be) {
  Model model(LlamaLike(), {Dtype::kInt8, Dtype::kInt8, "", 1, 100});
  const std::vector<int32_t> tokens = RandomTokens(5, 101, 131);
  const int32_t a = model.cache().Create(), b = model.cache().Create();
  Append(*model, a, tokens, 0, 60);
  const State before = StateOf(model, {a, b});
  const auto refused = [&](ErrorCode code, const std::string& fragment, const Batch& batch) {
    KV_EXPECT_THROWS_WITH(code, fragment, Forward(*model, batch));
    KV_EXPECT(StateOf(model, {a, b}) == before);
  };
  refused(ErrorCode::kInvalidOption, "-1", BatchOf({{a, {1, -1}}}));
  refused(ErrorCode::kInvalidOption, "131", BatchOf({{b, {1, 2}}, {a, {131}}}));
  refused(ErrorCode::kContextOverflow, "101",
          BatchOf({{b, {1}}, {a, {tokens.begin(), tokens.begin() + 41}}}));
  refused(ErrorCode::kContextOverflow, "101", BatchOf({{b, tokens}}));
  refused(ErrorCode::kInternal, "twice", BatchOf({{a, {1}}, {a, {2}}}));
  refused(ErrorCode::kInternal, "no tokens", BatchOf({{a, {1}}, {b, {}}}));
  refused(ErrorCode::kInternal, "sequence", BatchOf({{a, {1}}, {99, {2}}}));
  refused(ErrorCode::kInternal, "", Batch());
  Batch batch = BatchOf({{a, {1, 2, 3}}});
  batch.tokens.pop_back();
  refused(ErrorCode::kInternal, "disagrees", batch);
  for (const std::vector<int32_t>& rows : std::vector<std::vector<int32_t>>{{2, 1}, {1, 1}, {-1}, {3}}) {
    batch = BatchOf({{a, {1, 2, 3}}});
    batch.wanted.assign(rows.begin(), rows.end());
    refused(ErrorCode::kInternal, "rows", batch);
  }
  // A full context still takes its last token.
  Append(*model, a, tokens, 60, 40);
  KV_EXPECT_EQ(model.cache().Length(a), 100);
}

// The cache fills while a batch reserves: for its second sequence, and in its second step of 512 tokens.
KV_TEST(transformer_full_cache_leaves_no_trace) {
  for (const auto& [dtype, kv_dtype] : kPrecisions) {
    Model model(LlamaLike(), {dtype, kv_dtype, "", 1, 700, 704});
    const std::vector<int32_t> tokens = RandomTokens(5, 700, 131);
    const int32_t a = model.cache().Create(), b = model.cache().Create();
    const Rows expected = Append(*model, a, tokens, 0, 700);
    model.cache().Truncate(a, 40);
    Append(*model, b, tokens, 0, 30);
    const State before = StateOf(model, {a, b});
    for (const int64_t of_a : {300, 590}) {
      const Batch batch = BatchOf(
          {{a, {tokens.begin(), tokens.begin() + of_a}}, {b, {tokens.begin(), tokens.begin() + 670}}});
      KV_EXPECT_THROWS_WITH(ErrorCode::kContextOverflow, "704", Forward(*model, batch));
      KV_EXPECT(StateOf(model, {a, b}) == before);
    }
    KV_EXPECT_EQ(RowDifference(Append(*model, a, tokens, 40, 500), expected, 40), "");
    KV_EXPECT_EQ(RowDifference(Append(*model, b, tokens, 30, 34), expected, 30), "");
    KV_EXPECT_THROWS(ErrorCode::kContextOverflow, Append(*model, b, tokens, 64, 100));
    model.cache().Free(a);
    KV_EXPECT_EQ(RowDifference(Append(*model, b, tokens, 64, 100), expected, 64), "");
  }
}

}  // namespace
}  // namespace kvasir::testing

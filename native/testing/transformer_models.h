// Small random models, built in memory: a container of generated tensors, specs of some kinds, and what runs them.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "io/container.h"
#include "model/tensors.h"
#include "model/transformer.h"

namespace kvasir::testing {

struct ModelKind {
  std::string name;
  ModelSpec spec;
  bool layer_norm_biases = false;
  bool linear_biases = false;
  bool tied = true;

  AttentionSpec& attention() { return spec.attentions[0]; }
  FeedForwardSpec& feed_forward() { return spec.feed_forwards[0]; }
};

// As many layers of the first attention and the first feed-forward.
void SetLayers(ModelSpec* spec, int64_t layers);
// 1 / base^(2 i / dim), base the usual one.
std::vector<float> RopeFrequencies(int64_t dim);

// (a) llama-like, 6 heads of 16 on 2 kv heads, rotary pairs interleaved.
ModelKind LlamaLike();
// The same with half rotary.
ModelKind LlamaLikeHalf();
// (b) 3 heads of 64 on 1 kv head: V's rotation is the output projection's.
ModelKind WideHeads();
// (c) GPT-like: layer norm, biases, learned positions, gelu_tanh, no gate, heads of 12 padded to 16, untied head.
ModelKind GptLike();

// (d) as BERT, RoBERTa and MPNet: sequences seen whole, norms of sums, positions that begin at row 2, token types, a norm
// of the embedding, distances in buckets; no final norm and no head.
ModelKind BertLike();
// (e) as ModernBERT: sequences seen whole, every second layer in a window to both sides, the first attention without a norm.
ModelKind ModernBertLike();
// (f) short convolutions around an attention: the last layer has a state.
ModelKind ShortConvLike();
// (g) three layers of the gated delta net and one of gated attention.
ModelKind DeltaNetLike();

// Every tensor of a model, seeded; weights keep the scale of their input.
class RandomContainer final : public Container {
 public:
  RandomContainer(const ModelKind& kind, uint32_t seed);

  const char* format() const override { return "test"; }
  const std::map<std::string, MetadataValue>& metadata() const override { return metadata_; }
  const std::vector<TensorInfo>& tensors() const override { return tensors_; }
  const TensorInfo* Find(const std::string& name) const override;
  void ReadRows(const TensorInfo& tensor, int64_t first_row, int64_t n_rows, float* out) const override;
  void ReadBytes(const TensorInfo&, uint64_t, uint64_t, void*) const override {}

  bool Has(const std::string& name) const { return values_.count(name) != 0; }
  std::vector<float>& values(const std::string& name) { return values_.at(name); }
  const std::vector<float>& values(const std::string& name) const { return values_.at(name); }
  TensorMap canonical() const;

 private:
  std::map<std::string, MetadataValue> metadata_;
  std::vector<TensorInfo> tensors_;
  std::map<std::string, std::vector<float>> values_;
};

// kv_capacity 0: enough for 10 contexts.
struct Setup {
  Dtype dtype = Dtype::kF32;
  Dtype kv_dtype = Dtype::kF32;
  std::string isa = {};
  int threads = 1;
  int64_t context_length = 704;
  int64_t kv_capacity = 0;
};

LoadOptions OptionsOf(const Setup& setup);
std::unique_ptr<Transformer> Load(const ModelKind& kind, const RandomContainer& container,
                                  const Setup& setup);

std::vector<int32_t> RandomTokens(uint32_t seed, int64_t n, int64_t vocab);

// The type that tests give a token, of a model that has types.
int32_t TypeOf(const ModelSpec& spec, int32_t token);

// A row of logits per token, or of hidden states of a model without a head.
using Rows = std::vector<std::vector<float>>;

// A batch of (sequence, tokens) with all rows wanted.
Batch BatchOf(const std::vector<std::pair<int32_t, std::vector<int32_t>>>& parts);
// What the model gives of all wanted rows; tokens have the types of TypeOf.
Rows Forward(Transformer& transformer, const Batch& batch, TapSink* taps = nullptr,
             const CancellationToken* cancellation = nullptr);
// Appends tokens [first, first + n) of `tokens` to a sequence.
Rows Append(Transformer& transformer, int32_t sequence, const std::vector<int32_t>& tokens, int64_t first,
            int64_t n);

// Empty, or the first row and value that differ; `actual` is compared with rows [first, ...) of `expected`.
std::string RowDifference(const Rows& actual, const Rows& expected, int64_t first = 0);

}  // namespace kvasir::testing

// The graph: one transformer with parameters, run over a batch of sequence steps. Prefill, decode and anything
// between are the same code: each sequence appends one or more tokens. It owns its scratch memory and allocates
// nothing in a step. Sampling is not its business.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "backend/backend.h"
#include "core/cancellation.h"
#include "model/kv_cache.h"
#include "model/model_spec.h"
#include "model/taps.h"
#include "model/weights.h"

namespace kvasir {

struct BatchSequence {
  int32_t id = 0;
  int64_t n_tokens = 0;
};

struct Batch {
  std::vector<BatchSequence> sequences;
  std::vector<int32_t> tokens;  // sequence after sequence
  std::vector<int32_t> rows;    // ascending indices into tokens whose logits are wanted
};

class Transformer {
 public:
  Transformer(const ModelSpec& spec, std::unique_ptr<Weights> weights, std::unique_ptr<Backend> backend,
              const LoadOptions& options);

  const ModelSpec& spec() const { return spec_; }
  const Weights& weights() const { return *weights_; }
  Backend& backend() { return *backend_; }
  KvCache& cache() { return cache_; }
  int64_t scratch_bytes() const { return static_cast<int64_t>(scratch_.size()); }
  // Most tokens a step takes, and rows whose logits are computed at a time.
  static constexpr int64_t kMaxStepTokens = 512;
  static constexpr int64_t kLogitRows = 16;

  // Called with logits [n_rows, vocab] of rows [first, first + n_rows) of batch.rows.
  using LogitsFn = std::function<void(int64_t first, int64_t n_rows, const float* logits)>;

  // Appends the batch to its sequences. Batches of more than kMaxStepTokens are split. Throws Error(kInvalidOption |
  // kContextOverflow | kCancelled); the sequences are then as they were.
  void Forward(const Batch& batch, const CancellationToken* cancellation, TapSink* taps,
               const LogitsFn& on_logits);

  static int64_t ScratchBytes(const ModelSpec& spec, const LoadOptions& options, int64_t quantized_bytes);

 private:
  struct Step;  // the part of a batch that runs at once
  void Check(const Batch& batch) const;
  void RunStep(const Step& step, const CancellationToken* cancellation, TapSink* taps,
               const LogitsFn& on_logits);
  void Layer(const Step& step, int64_t index, TapSink* taps);
  void Attention(const Step& step, int64_t index, TapSink* taps);
  void FeedForward(const Step& step, int64_t index, TapSink* taps);
  void Logits(const Step& step, TapSink* taps, const LogitsFn& on_logits);
  void TapAttention(const Step& step, const std::string& layer, bool rotated, TapSink* taps);
  void TakeScratch(const LoadOptions& options);
  void BuildRopeTables(int64_t positions);

  ModelSpec spec_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Weights> weights_;
  KvCache cache_;
  AttentionShape attention_;
  int64_t context_length_;
  std::vector<float> rope_cos_, rope_sin_;  // [context, rope_dim / 2]

  Arena scratch_;
  float* x_ = nullptr;         // [tokens, hidden]: the residual stream
  float* wide_ = nullptr;      // [tokens, max(qkv, 2 * ffn)]
  float* attended_ = nullptr;  // [tokens, n_heads * head_dim]
  float* work_ = nullptr;      // [tokens, ffn]
  float* gathered_ = nullptr;  // [kLogitRows, hidden]
  float* logits_ = nullptr;    // [kLogitRows, vocab]
  Activations normed_;         // width hidden
  Activations o_input_;        // width n_heads * head_dim
  Activations down_input_;     // width ffn
  Queries queries_;
  std::vector<int32_t> positions_;
  std::vector<SequenceSpan> spans_;
  std::vector<float> traced_scores_;  // only with taps
};

}  // namespace kvasir

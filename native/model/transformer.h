// The graph: one transformer with parameters, run over a batch of sequence steps. Prefill, decode and anything
// between are the same code: each sequence appends one or more tokens. It owns its scratch memory and allocates
// nothing in a step. Sampling is not its business.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "core/cancellation.h"
#include "model/kv_cache.h"
#include "model/model_spec.h"
#include "model/step_scratch.h"
#include "model/taps.h"
#include "model/weights.h"

namespace kvasir {

struct BatchSequence {
  int32_t id = 0;
  int64_t n_tokens = 0;
};

// Layers that a step runs. `input`: the residual stream before the first of them, [n_tokens, hidden], instead of the
// tokens' embedding.
struct LayerRange {
  int64_t first = 0;
  int64_t end = 0;
  const float* input = nullptr;
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
  int64_t scratch_bytes() const { return scratch_.bytes(); }
  // Most tokens a step takes, and rows whose logits are computed at a time.
  static constexpr int64_t kMaxStepTokens = 512;
  static constexpr int64_t kLogitRows = 16;

  // Called with logits [n_rows, vocab] of rows [first, first + n_rows) of batch.rows.
  using LogitsFn = std::function<void(int64_t first, int64_t n_rows, const float* logits)>;

  // Appends the batch to its sequences. Batches of more than kMaxStepTokens are split. Throws Error(kInvalidOption |
  // kContextOverflow | kCancelled); the sequences are then as they were.
  void Forward(const Batch& batch, const CancellationToken* cancellation, TapSink* taps,
               const LogitsFn& on_logits);

  // To look into a model (transformer_inspect.cc). A fresh sequence of tokens through some layers, then the logits of
  // `rows`; `hidden` [n_tokens, hidden] is the residual stream at the end. At most a step's tokens; `range.input` has as
  // many rows. Throws as Forward does.
  void RunLayers(const std::vector<int32_t>& tokens, const LayerRange& range,
                 const std::vector<int32_t>& rows, TapSink* taps, float* hidden, const LogitsFn& on_logits);
  // One linear alone: out [rows, n] of x [rows, k], quantized first where the linear is INT8. `x` is overwritten.
  void ApplyLinear(const LinearWeight& weight, float* x, int64_t rows, float* out);
  // Uses linears of another model of the same shape in place of its own, until the next call; their owner must outlive
  // that. Throws Error(kInvalidOption) for a name or shape that is not there.
  void Borrow(const Weights& lender, const std::vector<std::string>& names);

  // What scratch_bytes() will be with `backend` on `threads` threads.
  static int64_t ScratchBytes(const ModelSpec& spec, const LoadOptions& options, const Backend& backend,
                              int threads);

 private:
  // The part of a batch that runs at once.
  struct Step {
    const int32_t* tokens;
    int64_t n_tokens;
    const SequenceSpan* sequences;
    int64_t n_sequences;
    const int32_t* rows;  // wanted, relative to this step's first token
    int64_t n_rows;
    int64_t first_row;  // index of rows[0] in the batch
  };
  void Check(const Batch& batch) const;
  void RunStep(const Step& step, const LayerRange& range, const CancellationToken* cancellation,
               TapSink* taps, const LogitsFn& on_logits);
  void Embed(const Step& step, TapSink* taps);
  void ForRowBlocks(const Step& step, TapSink* taps, const std::function<void(const RowBlock&)>& fn);
  AttentionArgs ArgsOf(const Step& step, int64_t layer);
  void AttentionInput(const Step& step, int64_t layer, const RowBlock& block, TapSink* taps);
  void AttentionOutput(int64_t layer, const RowBlock& block, TapSink* taps);
  void FeedForward(int64_t layer, const RowBlock& block, TapSink* taps);
  void Logits(const Step& step, TapSink* taps, const LogitsFn& on_logits);
  void TapAttention(const Step& step, const std::string& layer, TapSink* taps);
  void TakeTraceMemory(int64_t tokens);
  RowScratch& LaneOf(const RowBlock& block, const TapSink* taps);
  void BuildRopeTables(int64_t positions);

  ModelSpec spec_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Weights> weights_;
  KvCache cache_;
  AttentionShape attention_;
  int64_t context_length_;
  Dtype dtype_;                             // of linears that are not kept in float32
  std::vector<float> rope_cos_, rope_sin_;  // [context, rope_dim / 2]

  StepScratch scratch_;
  // With taps a step is one block, in memory of its own.
  Arena traced_arena_;
  RowScratch traced_;
  std::vector<int32_t> positions_;
  std::vector<SequenceSpan> spans_;
  std::vector<float> traced_scores_;              // only with taps
  std::map<std::string, LinearWeight> replaced_;  // own linears that borrowed ones stand for
};

}  // namespace kvasir

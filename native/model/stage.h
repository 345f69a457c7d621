// Some consecutive layers on one backend: the graph over them, their part of the KV cache and their working memory. The
// first stage embeds tokens, the last one computes logits. It owns its memory and allocates nothing in a step without
// taps. What runs when is transformer.h's business.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "backend/backend.h"
#include "core/cancellation.h"
#include "model/kind_tables.h"
#include "model/kv_layouts.h"
#include "model/model_spec.h"
#include "model/step_scratch.h"
#include "model/taps.h"
#include "model/weights.h"

namespace kvasir {

// The part of a batch that runs at once.
struct Step {
  const int32_t* tokens;     // [n_tokens]
  const int32_t* positions;  // [n_tokens]
  int64_t n_tokens;
  const SequenceSpan* sequences;
  int64_t n_sequences;
  const int32_t* rows;  // wanted, relative to this step's first token
  int64_t n_rows;
  int64_t first_row;  // index of rows[0] in the batch
  bool logits_only;   // nothing else is asked of the step: its last layer may leave other rows out
  TapSink* taps;
  const CancellationToken* cancellation;
};

// Called with logits [n_rows, vocab] of rows [first, first + n_rows) of a batch, in the last stage's memory: see
// Device::HostView.
using LogitsFn = std::function<void(int64_t first, int64_t n_rows, const float* logits)>;

class Stage {
 public:
  // Rows whose logits are computed at a time, and how many of the largest are asked for.
  static constexpr int64_t kLogitRows = 16;
  static constexpr int64_t kCandidates = 256;

  // Layers [first, end) of the model. `weights` outlives the stage; those of its layers are in the backend's memory.
  Stage(const ModelSpec& spec, const Weights& weights, std::unique_ptr<Backend> backend,
        const LoadOptions& options, int64_t first, int64_t end);

  Backend& backend() { return *backend_; }
  const Backend& backend() const { return *backend_; }
  int64_t first() const { return first_; }
  int64_t end() const { return end_; }
  // Bytes of a page of the cache, in all layers of the stage.
  int64_t kv_page_bytes() const { return kv_layouts_.PageBytes(); }
  // Most tokens of a step.
  int64_t step_rows() const;
  // All that the stage and its backend hold beside weights and cache.
  int64_t scratch_bytes() const;
  // What of scratch_bytes() the stage holds, on a backend of such traits.
  static int64_t ScratchBytes(const ModelSpec& spec, const LoadOptions& options, const Traits& traits,
                              const Ops& ops);

  void CopyPage(int32_t from, int32_t to);

  // A step: its input is either embedded or given, x [n_tokens, hidden]; then layers; on the last stage logits.
  // What Begin returns is made after SetInput, before the rest, and ended after it.
  void SetInput(const float* x, int64_t n_tokens);
  StepScope Begin(const Step& step, bool whole);
  void Embed(const Step& step);
  void RunLayers(const Step& step, int64_t first, int64_t end);
  void Logits(const Step& step, const LogitsFn& on_logits);
  // The residual stream, [n_tokens, hidden], on the host.
  const float* Output(int64_t n_tokens);

  // out [rows, n] of x [rows, k] through one linear, quantized first where it is INT8. Host memory.
  void ApplyLinear(const LinearWeight& weight, const float* x, int64_t rows, float* out);
  // Rows of a linear, [ids.size(), k].
  std::vector<float> WeightRows(const LinearWeight& weight, const std::vector<int32_t>& ids);

 private:
  static constexpr int64_t kNoLayer = -1;  // of taps outside of layers

  // The residual stream and attention's output, row by row.
  struct Rows {
    float* x;         // [count, hidden]
    float* attended;  // [count, n_heads * head_dim of the layer]
    int64_t count;
  };

  Rows AllRows(const Step& step) const { return {scratch_.x, scratch_.attended, step.n_tokens}; }
  bool EndsWithWantedRows(const Step& step) const;
  const std::vector<SequenceSpan>& WantedSpans(const Step& step);
  void RunLastLayerOfWanted(const Step& step, int64_t layer);
  void ForRowBlocks(const Step& step, int64_t rows, const std::function<void(const RowBlock&)>& fn);
  AttentionArgs ArgsOf(const Step& step, int64_t layer);
  void AttentionInput(const Step& step, int64_t layer, const RowBlock& block);
  void RunAfterAttention(const Step& step, int64_t layer, const Rows& rows, int64_t next);
  void AfterAttention(const Step& step, int64_t layer, const Rows& rows, const RowBlock& block);
  LinearInput InputOf(const NormWeight* norm, const LinearWeight& weight, float* x, int64_t rows,
                      RowScratch* s);
  void ActivatedInput(const Step& step, int64_t layer, float* x, int64_t rows, RowScratch* s);
  void AddAttention(const Step& step, int64_t layer, const Rows& rows, const RowBlock& block);
  void GateAttention(const Step& step, int64_t layer, float* x, const RowBlock& block, float* attended);
  void AddFeedForward(const Step& step, int64_t layer, float* x, int64_t rows, RowScratch* s);
  void RunExperts(const Step& step, int64_t layer, const Rows& rows);
  void AddExperts(const Step& step, int64_t layer, const Rows& rows, const RowBlock& block);
  void AddSharedExpert(const Step& step, int64_t layer, float* x, const RowBlock& block);
  void AddLinear(const LinearWeight& weight, const LinearInput& input, const NormWeight* post, int64_t rows,
                 RowScratch* s, float* x);
  void Record(const Step& step, int64_t layer, const char* op, const float* values, int64_t rows,
              int64_t columns);
  void TapAttention(const Step& step, int64_t layer);
  void TakeTraceMemory(int64_t tokens);
  RowScratch& LaneOf(const RowBlock& block, const Step& step);
  AttentionBias BiasOf(int64_t layer) const;
  HeadNorm HeadNormOf(int64_t layer) const;
  void CopyPage(const KvLayout& layout, uint8_t* pool, int32_t from, int32_t to);
  const AttentionShape& ShapeAt(int64_t layer) const {
    return attentions_[static_cast<size_t>(spec_.layer(layer).attention)];
  }
  // What comes before attention and feed-forward; nullptr in forms that read x as it is.
  const NormWeight* AttentionNorm(int64_t layer) const {
    return NormsInput() ? &LayerAt(layer).attn_norm : nullptr;
  }
  const NormWeight* FeedForwardNorm(int64_t layer) const {
    if (spec_.stack.shared_norm) return AttentionNorm(layer);
    return NormsInput() ? &LayerAt(layer).ffn_norm : nullptr;
  }
  // Behind the feed-forward, in the forms that have one there.
  const NormWeight* FeedForwardPostNorm(int64_t layer) const {
    const bool sandwich = spec_.stack.form == BlockForm::kSandwich;
    return sandwich ? &LayerAt(layer).ffn_post_norm : &LayerAt(layer).ffn_norm;
  }
  bool NormsInput() const {
    return spec_.stack.form != BlockForm::kPost && spec_.stack.form != BlockForm::kAddNorm;
  }
  const LayerWeights& LayerAt(int64_t layer) const { return weights_.layers[static_cast<size_t>(layer)]; }

  const ModelSpec& spec_;
  const Weights& weights_;
  std::unique_ptr<Backend> backend_;
  int64_t first_, end_;
  int64_t context_length_, kv_capacity_;
  Dtype dtype_;  // of linears that are not kept in float32
  KvLayouts kv_layouts_;
  std::vector<std::unique_ptr<BackendMemory>> kv_pages_;  // of each pool
  StepScratch scratch_;
  KindTables tables_;
  std::vector<AttentionShape> attentions_;  // of each kind
  std::vector<SequenceSpan> wanted_spans_;  // see WantedSpans
  // With taps a step is one block, in memory of its own.
  std::unique_ptr<BackendMemory> traced_memory_;
  RowScratch traced_;
  std::unique_ptr<BackendMemory> traced_scores_;  // f32 [tokens, n_heads, context]
  std::vector<float> host_copy_;
};

}  // namespace kvasir

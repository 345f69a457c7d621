// Some consecutive layers on one backend: the graph over them, their part of the KV cache and their working memory. The
// first stage embeds tokens, the last one computes logits. It owns its memory and allocates nothing in a step without
// taps. What runs when is transformer.h's business.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "backend/backend.h"
#include "core/cancellation.h"
#include "model/adapters.h"
#include "model/distance_bias.h"
#include "model/kind_tables.h"
#include "model/kv_layouts.h"
#include "model/model_spec.h"
#include "model/state_layout.h"
#include "model/step_scratch.h"
#include "model/taps.h"
#include "model/weights.h"

namespace kvasir {

// A row of a step and what is wanted of it. Without logits it takes no output layer.
struct WantedRow {
  int32_t row = 0;
  bool logits = true;
  bool hidden = false;  // the hidden state after the final norm, if there is one, in float32

  WantedRow() = default;
  WantedRow(int32_t a_row, bool wants_logits = true, bool wants_hidden = false)
      : row(a_row), logits(wants_logits), hidden(wants_hidden) {}
};

// What came of rows [first, first + count) of those that a batch wants, in the last stage's memory: see
// Device::HostView. Each pointer is nullptr where none of these rows wants what it has; rows beside such ones have it too.
struct StepRows {
  int64_t first = 0;
  int64_t count = 0;
  const float* logits = nullptr;  // [count, vocab]
  const float* hidden = nullptr;  // [count, hidden]
};
using RowsFn = std::function<void(const StepRows&)>;

// What some heads of one layer attended, put in the place of what they did: values [tokens, heads, head_dim] on the host, in
// their own basis. Of a step with taps or without; not for serving.
struct HeadPatch {
  std::vector<int32_t> heads;
  const float* values = nullptr;
};

// The part of a batch that runs at once.
struct Step {
  const int32_t* tokens;     // [n_tokens]
  const int32_t* positions;  // [n_tokens]
  const int32_t* types;      // [n_tokens]; nullptr: the model has none
  int64_t n_tokens;
  const SequenceSpan* sequences;  // [n_tables, n_sequences]: with the pages of each table (kv_tables.h)
  int64_t n_tables;
  const int32_t* adapters;  // [n_sequences] what LoadAdapter was told, -1 of none; or nullptr: none has one
  int64_t n_sequences;
  const int32_t* rows;      // wanted, relative to this step's first token
  const WantedRow* wanted;  // [n_rows]: what of them
  int64_t n_rows;
  int64_t first_row;  // index of rows[0] among those of the batch
  bool wanted_only;   // nothing is asked of other rows: its last layer may leave them out
  TapSink* taps;
  const HeadPatch* patch = nullptr;  // of every layer that runs
  const CancellationToken* cancellation;
};

class Stage {
 public:
  // Wanted rows that are computed at a time, and how many of the largest logits are asked for.
  static constexpr int64_t kLogitRows = 16;
  static constexpr int64_t kCandidates = 256;

  // `weights` outlives the stage; those of its layers are in the backend's memory.
  Stage(const ModelSpec& spec, const Weights& weights, std::unique_ptr<Backend> backend,
        const LoadOptions& options, const KvTables& tables, const KvLayers& layers);

  Backend& backend() { return *backend_; }
  const Backend& backend() const { return *backend_; }
  int64_t first() const { return first_; }
  int64_t end() const { return end_; }
  // Its part of the KV cache.
  const KvLayouts& kv_layouts() const { return kv_layouts_; }
  // Bytes of the states of one sequence, in all layers of the stage.
  int64_t state_bytes() const { return state_layout_.SlotBytes(); }
  // All that the stage and its backend hold beside weights and cache.
  int64_t scratch_bytes() const;
  // What of scratch_bytes() the stage holds, on a backend of such traits.
  static int64_t ScratchBytes(const ModelSpec& spec, const LoadOptions& options, const Traits& traits,
                              const Ops& ops);

  void CopyPage(int64_t table, int32_t from, int32_t to);
  // A page of a table, and a state, as bytes on the host (stage_pages.cc); nothing of a table without layers here.
  int64_t PageBytes(int64_t table) const;
  void ReadPage(int64_t table, int32_t page, uint8_t* out);
  void WritePage(int64_t table, int32_t page, const uint8_t* from);
  void ReadState(int32_t slot, uint8_t* out);
  void WriteState(int32_t slot, const uint8_t* from);

  // Takes those of `places` that are in its layers. Throws as Adapter does.
  void LoadAdapter(int32_t id, const std::vector<AdapterPlace>& places, PackPanelFn pack_panel_s8);
  void FreeAdapter(int32_t id);
  // All that adapters take here: their own, and rows between their products.
  int64_t adapter_bytes() const;
  // What those rows take on a backend of such traits, where `rank` is the largest; nothing for 0.
  static int64_t AdaptedRowBytes(const ModelSpec& spec, const Traits& traits, int64_t rank);

  // A step: its input is either embedded or given, x [n_tokens, hidden]; then layers; on the last stage what is wanted of rows.
  // What Begin returns is made after SetInput, before the rest, and ended after it.
  void SetInput(const float* x, int64_t n_tokens);
  StepScope Begin(const Step& step, bool whole);
  void Embed(const Step& step);
  void RunLayers(const Step& step, int64_t first, int64_t end);
  void WantedRows(const Step& step, const RowsFn& on_rows);
  // The residual stream, [n_tokens, hidden], on the host.
  const float* Output(int64_t n_tokens);

  // out [rows, n] of x [rows, k] through one linear, quantized first where it is INT8. Host memory.
  void ApplyLinear(const LinearWeight& weight, const float* x, int64_t rows, float* out);
  // out [rows, k of its down] of x [rows, k]: what activation makes of a feed-forward's gate_up. Host memory.
  void ApplyGateUp(const FeedForwardSpec& f, const LinearWeight& gate_up, const float* x, int64_t rows,
                   float* out);
  // Rows of a linear, [ids.size(), k].
  std::vector<float> WeightRows(const LinearWeight& weight, const std::vector<int32_t>& ids);
  // `n` values of the backend's memory.
  std::vector<float> Values(const float* values, int64_t n);

 private:
  static constexpr int64_t kNoLayer = -1;  // of taps outside of layers

  // The residual stream and attention's output, row by row.
  struct Rows {
    float* x;         // [count, hidden]
    float* attended;  // [count, n_heads * head_dim of the layer, or its state's mixed_size()]
    int64_t count;
    const std::vector<AdapterSpan>* adapted;
  };

  Rows AllRows(const Step& step) const {
    return {scratch_.x, scratch_.attended, step.n_tokens, &adapted_rows_};
  }
  bool EndsWithWantedRows(const Step& step) const;
  bool IsPlain(const Step& step) const;
  LinearInput FinalNorm(float* x, int64_t rows, Dtype dtype);
  void Head(const Step& step, const LinearInput& normed, int64_t first, int64_t count);
  const std::vector<SequenceSpan>& WantedSpans(const Step& step, const SequenceSpan* sequences);
  void RunLastLayerOfWanted(const Step& step, int64_t layer);
  void ForRowBlocks(const Step& step, const Rows& rows, const std::function<void(const RowBlock&)>& fn);
  AttentionArgs ArgsOf(const Step& step, int64_t layer);
  void MixerInput(const Step& step, int64_t layer, const RowBlock& block);
  void AttentionInput(const Step& step, int64_t layer, const RowBlock& block);
  void StateInput(const Step& step, int64_t layer, const RowBlock& block);
  void MixStates(const Step& step, int64_t layer);
  StateMemory StatesOf(int64_t layer) const;
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
  void TakeAdapterMemory(int64_t rank);
  void ResolveAdapters(const Step& step);
  bool IsAdapted(const LinearWeight& linear) const;
  void Adapt(const LinearWeight& linear, const LinearInput& input, const AdaptedRows& rows, float* out,
             int64_t ld);
  void Record(const Step& step, int64_t layer, const char* op, const float* values, int64_t rows,
              int64_t columns);
  void RecordIds(const Step& step, int64_t layer, const char* op, const int32_t* ids, int64_t rows,
                 int64_t columns);
  void TapQueriesAndKeys(const Step& step, int64_t layer, const float* qkv);
  void TapAttention(const Step& step, int64_t layer);
  void TapAttended(const Step& step, int64_t layer, int64_t width);
  void TapScores(const Step& step, int64_t layer);
  void PatchHeads(const HeadPatch& patch, int64_t layer, int64_t rows);
  std::unique_ptr<BackendMemory> OutputOf(const LinearWeight& weight, const float* x, int64_t rows);
  void TakeTraceMemory(const Step& step);
  RowScratch& LaneOf(const RowBlock& block, const Step& step);
  AttentionBias BiasOf(int64_t layer) const;
  HeadNorm HeadNormOf(int64_t layer) const;
  void CopyPage(const KvLayout& layout, uint8_t* pool, int32_t from, int32_t to);
  void Download(const uint8_t* from, uint8_t* out, int64_t bytes);
  const AttentionShape& ShapeAt(int64_t layer) const {
    return attentions_[static_cast<size_t>(spec_.layer(layer).attention)];
  }
  // What comes before attention and feed-forward; nullptr where they read x as it is.
  const NormWeight* AttentionNorm(int64_t layer) const {
    if (layer == 0 && !spec_.stack.first_norm) return nullptr;
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
  Dtype dtype_;  // of linears that are not kept in float32
  KvLayouts kv_layouts_;
  std::vector<std::unique_ptr<BackendMemory>> kv_pages_;  // of each pool
  StateLayout state_layout_;
  std::unique_ptr<BackendMemory> states_;  // [slots, slot_size] f32, or nullptr
  StepScratch scratch_;
  KindTables tables_;
  DistanceBiases distance_biases_;
  std::vector<AttentionShape> attentions_;  // of each kind
  std::vector<SequenceSpan> wanted_spans_;  // see WantedSpans
  std::map<int32_t, std::unique_ptr<Adapter>> adapters_;
  std::unique_ptr<BackendMemory> adapter_memory_;
  int64_t adapter_rank_ = 0;       // that adapter_memory_ has room for
  float* adapted_head_ = nullptr;  // [logit_rows, rank]
  // Of the running step: which adapters, and rows of it and of those that are wanted.
  std::vector<const Adapter*> step_adapters_;
  std::vector<AdapterSpan> adapted_rows_, adapted_wanted_;
  // With taps a step is one block, in memory of its own.
  std::unique_ptr<BackendMemory> traced_memory_;
  RowScratch traced_;
  std::unique_ptr<BackendMemory> traced_scores_;  // f32 [tokens, n_heads, traced_positions_]
  int64_t traced_positions_ = 0;                  // of the longest sequence of the step
  std::vector<float> host_copy_;
};

}  // namespace kvasir

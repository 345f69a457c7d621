// The model that runs: batches of sequence steps through its stages, over one paged KV cache. Prefill, decode and anything
// between are the same code: each sequence appends one or more tokens. Sampling is not its business.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "core/cancellation.h"
#include "model/kv_cache.h"
#include "model/kv_tables.h"
#include "model/model_spec.h"
#include "model/stage.h"
#include "model/taps.h"
#include "model/weights.h"

namespace kvasir {

struct BatchSequence {
  int32_t id = 0;
  int64_t n_tokens = 0;
  int32_t adapter = -1;  // of its tokens in this step; what LoadAdapter returned, or -1
};

// Layers that a step runs. `input`: the residual stream before the first of them, [n_tokens, hidden], instead of the
// tokens' embedding.
struct LayerRange {
  int64_t first = 0;
  int64_t end = 0;
  const float* input = nullptr;
  const HeadPatch* patch = nullptr;  // of each of these layers, which have attention
};

// Where a run of RunLayers goes on: behind the positions of a sequence, -1 for a fresh one. Its tokens join the sequence with
// `commit`, when all its layers have run over them.
struct LayerRunPlace {
  int32_t sequence = -1;
  bool commit = false;
};

struct Batch {
  std::vector<BatchSequence> sequences;
  std::vector<int32_t> tokens;    // sequence after sequence
  std::vector<int32_t> types;     // of each token, of a model that has them; empty: the first
  std::vector<WantedRow> wanted;  // their rows are ascending indices into tokens
};

class Transformer {
 public:
  // Stages from the first layer to the last, without gaps; `weights` are in the memory of their backends.
  Transformer(const ModelSpec& spec, std::unique_ptr<Weights> weights,
              std::vector<std::unique_ptr<Backend>> backends, const std::vector<int64_t>& first_layers,
              const LoadOptions& options);
  // All layers on one backend.
  Transformer(const ModelSpec& spec, std::unique_ptr<Weights> weights, std::unique_ptr<Backend> backend,
              const LoadOptions& options);

  const ModelSpec& spec() const { return spec_; }
  const Weights& weights() const { return *weights_; }
  // The one of the last layers, whose memory logits are in.
  Backend& backend() { return stages_.back()->backend(); }
  const std::vector<std::unique_ptr<Stage>>& stages() const { return stages_; }
  KvCache& cache() { return cache_; }
  const KvCache& cache() const { return cache_; }
  const KvTables& kv_tables() const { return kv_tables_; }
  // Of a page's positions in all layers; of all pages; what of these is there for checkpoints.
  int64_t kv_page_bytes() const;
  int64_t kv_bytes() const;
  int64_t checkpoint_bytes() const;
  const StateCounts& state_counts() const { return state_counts_; }
  int64_t state_bytes() const;  // of one sequence
  int64_t scratch_bytes() const;
  int64_t adapter_bytes() const;
  // Most tokens of a step.
  int64_t step_rows() const { return static_cast<int64_t>(positions_.size()); }

  // Appends the batch to its sequences. Batches of more than step_rows() tokens are split, between sequences where their
  // tokens see later ones (ModelSpec::sees_ahead); their pages are held to their end, more of one sequence than the pool
  // of a window may have (kv_tables.h). Throws Error(kInvalidOption
  // | kContextOverflow | kCancelled | kDeviceUnavailable); the sequences are then as they were.
  void Forward(const Batch& batch, const CancellationToken* cancellation, TapSink* taps,
               const RowsFn& on_rows);

  // Loads a LoRA adapter, which sequences of a batch then may name, each one of its own; any number at once. Packing is
  // the host's: `pack_panel_s8` is that of a CPU. Throws as PlaceAdapter and Adapter do, kInvalidOption while linears are
  // borrowed; nothing is left then.
  int32_t LoadAdapter(const std::vector<AdapterTensor>& tensors, PackPanelFn pack_panel_s8);
  // What sequences computed with it stays. Throws Error(kInvalidOption) for one that is not there.
  void FreeAdapter(int32_t id);

  // A sequence as bytes, piece by piece (transformer_sequences.cc), and the way back: a new one. `give` fills each piece; what
  // it throws leaves nothing. RestoreSequence throws as KvCache::Restore does.
  int64_t SequenceBytes(int64_t length) const;
  void ReadSequence(int32_t sequence, const std::function<void(const uint8_t*, int64_t)>& take);
  int32_t RestoreSequence(int64_t length, const std::function<void(uint8_t*, int64_t)>& give);
  // Of how those bytes lie, and of all weights as they are in memory; the latter is known from the first call on.
  uint64_t LayoutChecksum() const;
  uint64_t WeightsChecksum();

  // To look into a model (transformer_inspect.cc), where all of it is on one backend. A sequence of tokens through
  // some layers, then the logits of `rows`; `hidden` [n_tokens, hidden] is the residual stream at the end. At most a
  // step's tokens; `range.input` has as many rows. Throws as Forward does, kInvalidOption for a model on two backends.
  void RunLayers(const std::vector<int32_t>& tokens, const LayerRange& range, const LayerRunPlace& place,
                 const std::vector<int32_t>& rows, TapSink* taps, float* hidden, const RowsFn& on_rows);
  // One linear alone: out [rows, n] of x [rows, k], quantized first where the linear is INT8.
  void ApplyLinear(const LinearWeight& weight, const float* x, int64_t rows, float* out);
  // What activation makes of a gate_up of layer `layer`: out [rows, k of its down] of x [rows, k].
  void ApplyGateUp(int64_t layer, const LinearWeight& gate_up, const float* x, int64_t rows, float* out);
  // Rows of a linear, [ids.size(), k], as they are in memory.
  std::vector<float> WeightRows(const LinearWeight& weight, const std::vector<int32_t>& ids);
  // Rows [first, first + count) of a vector (a norm, learned positions) of the table of tensors, [count, columns]. Throws
  // Error(kInvalidOption) where there is none.
  std::vector<float> VectorRows(const std::string& name, int64_t first, int64_t count);
  // Uses linears of another model of the same shape in place of its own, until the next call; their owner must outlive
  // that. Throws Error(kInvalidOption) for a name or shape that is not there, or memory of another device.
  void Borrow(const Transformer& lender, const std::vector<std::string>& names);

 private:
  void Check(const Batch& batch) const;
  void CheckWhole(const BatchSequence& sequence) const;
  void CheckIds(const Batch& batch) const;
  void CheckAdapter(int32_t id) const;
  void ForSequence(int32_t sequence, const std::function<void(Stage*, int64_t, int32_t)>& on_page,
                   const std::function<void(Stage*)>& on_state);
  int64_t AddSpans(const std::vector<BatchSequence>& parts);
  void RunStep(Step step, const LayerRange& range, const RowsFn& on_rows);
  Stage& OnlyStage();
  void CheckPatch(const LayerRange& range) const;

  ModelSpec spec_;
  std::unique_ptr<Weights> weights_;
  std::vector<std::unique_ptr<Stage>> stages_;
  KvTables kv_tables_;
  KvCache cache_;
  StateCounts state_counts_;
  int64_t context_length_;
  Dtype dtype_;  // of linears that are not kept in float32
  std::vector<int32_t> positions_;
  std::vector<int32_t> first_types_;  // as many zeros, of a model with token types
  std::vector<SequenceSpan> spans_;   // [tables, sequences of the step]
  std::set<int32_t> adapters_;
  int32_t next_adapter_ = 0;
  uint64_t weights_checksum_ = 0;                 // 0: not known yet
  std::map<std::string, LinearWeight> replaced_;  // own linears that borrowed ones stand for
};

}  // namespace kvasir

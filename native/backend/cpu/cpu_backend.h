// The backend interface on CPU kernels and a thread pool: it splits each op into tasks and hands them to one kernel
// table. One op, one file. No arithmetic of its own besides rotary embedding and table look-ups.
#pragma once

#include <vector>

#include "backend/backend.h"
#include "backend/cpu/cpu_work.h"
#include "backend/cpu/kernel_table.h"
#include "backend/cpu/linear_input.h"
#include "backend/cpu/task_cuts.h"
#include "core/thread_pool.h"

namespace kvasir::cpu {

// The registers of a table's kernels, for as long as a thread calls them for so many rows.
class KernelScope {
 public:
  KernelScope(const KernelTable& kernels, int64_t rows)
      : leave_(rows < kernels.enter_rows ? nullptr : kernels.leave) {
    if (leave_ != nullptr) kernels.enter();
  }
  ~KernelScope() {
    if (leave_ != nullptr) leave_();
  }
  KernelScope(const KernelScope&) = delete;
  KernelScope& operator=(const KernelScope&) = delete;

 private:
  void (*leave_)();
};

// Panels [first, end) of a weight and rows [row, row + rows) of its input; column 0 of `out` is that of panel `first`,
// its row 0 is `row`. `next` is the panel that the same thread takes after them.
struct PanelRun {
  int64_t first, end, next;
  int64_t row, rows;
  float* out;
  int64_t ld_out;
  bool accumulate;
};

Traits TraitsOf(const KernelTable& kernels, int threads, int64_t least_step_rows);

class CpuBackend final : public Backend {
 public:
  CpuBackend(int threads, const KernelTable& kernels, int64_t max_positions, int64_t padded_head_dim,
             int64_t least_step_rows);

  std::string name() const override { return "cpu"; }
  std::unique_ptr<BackendMemory> Allocate(int64_t bytes, const std::string& purpose, bool lazy) override;
  int64_t FreeBytes() override { return INT64_MAX; }
  int64_t WorkBytes() const override;
  void Upload(void* to, const void* from, int64_t bytes) override;
  void Copy(void* to, const void* from, int64_t bytes) override { Upload(to, from, bytes); }
  void UploadLinear(const LinearWeight& packed, const LinearWeight& own) override;
  void FinishUploads() override {}
  const float* HostView(const float* values, int64_t, std::vector<float>*) override { return values; }

  void BeginStep(const StepInput& step) override { step_ = step; }
  void EndStep() override { step_ = {}; }
  void AbandonStep() noexcept override { step_ = {}; }
  void ForRowBlocks(int64_t rows, const std::function<void(const RowBlock&)>& fn) override;
  int64_t LinearInputBytes(Dtype dtype, int64_t rows, int64_t width) const override;

  void Embed(const LinearWeight& table, const StepIndices& ids, float* x) override;
  void UnpackRows(const LinearWeight& table, const int32_t* ids, int64_t n, float* x) override;
  void AddRows(const float* table, const StepIndices& indices, int64_t width, float* x) override;
  void GatherRows(const float* x, const StepIndices& indices, int64_t width, float* out) override;
  void Norm(const NormWeight& weight, const float* x, int64_t rows, LinearInput* out) override;
  void Prepare(float* x, int64_t rows, int rotation, LinearInput* out) override;
  void Linear(const LinearWeight& weight, const LinearInput& x, int64_t rows, float* out, int64_t ld_out,
              bool accumulate) override;
  void Activation(const ActivationForm& form, bool gated, const float* x, int64_t rows, float* scratch,
                  LinearInput* out) override;
  void LinearActivation(const LinearWeight& weight, const ActivationForm& form, const LinearInput& x,
                        int64_t rows, float* wide, float* scratch, LinearInput* out) override;
  void AddNorm(const AddNormForm& form, const float* y, int64_t rows, int64_t width, float* x) override;
  void AddScaledRows(const RowFactors& factors, const float* y, int64_t rows, int64_t width,
                     float* x) override;
  void Scale(const Scaling& scaling, int64_t rows, int64_t width, float* x) override;
  void ApplyGate(const OutputGate& gate, int64_t rows, int64_t width, float* x) override;
  void Route(const RouterForm& router, const float* logits, int64_t rows, int32_t* ids,
             float* weights) override;
  int64_t ExpertsScratchBytes(const ExpertsForm& form, int64_t rows) const override;
  void Experts(const ExpertsForm& form, const LinearInput& x, const RoutedRows& routed, int64_t rows,
               void* scratch, float* out) override;
  void StoreKv(const AttentionArgs& args, const RowBlock& block, const float* qkv, Queries* queries) override;
  void Attention(const AttentionArgs& args, const Queries& queries, float* out) override;
  void ShortConv(const ShortConvArgs& args) override;
  void DeltaNet(const DeltaNetArgs& args) override;
  void ReserveSummary(int64_t rows, int64_t vocab, int64_t n_candidates) override;
  void Summarize(const float* logits, int64_t rows, int64_t vocab, int64_t n_candidates,
                 LogitsSummary* summaries) override;

  // Jobs of the pool so far: barriers of all threads.
  int64_t jobs() const { return pool_.jobs(); }

 private:
  int threads() const { return pool_.size(); }
  struct ActivateFn;  // see cpu_activation.cc
  ActivateFn Activate(const ActivationForm& form) const;
  void ExpectAfter(const LinearWeight& weight, int64_t rows);
  void LinearPanels(const LinearWeight& weight, const LinearInput& x, const PanelRun& run) const;
  struct GatedPart;  // see cpu_activation.cc
  void ActivateGroup(const ActivateFn& activate, const GatedPart& part, int64_t first_row, int64_t group,
                     LinearInput* out) const;
  void QuantizeRows(const float* x, int64_t row, int64_t count, bool rotate, LinearInput* out) const;
  void NormRow(const NormWeight& norm, const float* x, int64_t width, float* out) const;
  void GatherInput(const LinearInput& x, const int32_t* rows, int64_t n, LinearInput* out);
  void StoreToken(const AttentionArgs& args, const SequenceSpan& sequence, int64_t token,
                  const float* qkv_row, Queries* queries) const;
  void PrepareDelta(const DeltaNetArgs& args, const SequenceSpan& sequence, int64_t part) const;
  void RunDeltaHead(const DeltaNetArgs& args, const SequenceSpan& sequence, int64_t head) const;
  struct Tile;  // query rows that share a kv head and a pass over its cache; see cpu_attention.cc
  Tile TileAt(const AttentionArgs& args, int64_t index) const;
  struct ChunkPlace;
  struct ChunkPart;
  struct RowParts;
  ChunkPart PartOf(const AttentionArgs& args, const ChunkPlace& place) const;
  RowParts RowsOf(const AttentionArgs& args, const Tile& tile, const ChunkPart& part) const;
  ChunkPages PagesOf(const AttentionArgs& args, const ChunkPlace& place) const;
  // `next` is asked for meanwhile, if it is given; `fetched`: this chunk was.
  void ChunkOfTile(const AttentionArgs& args, const Queries& queries, const ChunkPlace& place,
                   const ChunkPages* next, bool fetched, const SoftmaxState& out) const;
  void RunChunk(const AttentionArgs& args, const Tile& tile, const RowParts& rows,
                const AttentionChunk& c) const;
  void MergeChunk(const AttentionArgs& args, const Tile& tile, int64_t chunk, const SoftmaxState& state,
                  const SoftmaxState& later) const;
  void MergeSinks(const AttentionArgs& args, const Tile& tile, const SoftmaxState& state) const;
  void FinishTile(const AttentionArgs& args, const Tile& tile, const SoftmaxState& state, float* out) const;
  void AttentionByTile(const AttentionArgs& args, const Queries& queries, float* out);
  void AttentionByChunk(const AttentionArgs& args, const Queries& queries, int64_t n_chunks, float* out);
  struct ChunkWindow;
  void AttentionInWindow(const AttentionArgs& args, const Queries& queries, const ChunkWindow& window,
                         float* out);

  const KernelTable& kernels_;
  ThreadPool pool_;
  StepInput step_;  // that runs
  // Attention tiles of the running op: index of each sequence's first tile.
  std::vector<int64_t> first_tile_;
  ThreadWork work_;
  SummaryWork summary_;
};

}  // namespace kvasir::cpu

// The backend of NVIDIA GPUs: ops queue kernels (kernels.h) on one stream and return. It keeps the bits of the CPU
// backend. Decode steps are recorded and replayed (step_graphs.h). Loading packs on the CPU; see UploadLinear.
#pragma once

#include <memory>
#include <vector>

#include "backend/cuda/gpu.h"
#include "backend/cuda/kernels.h"
#include "backend/cuda/step_graphs.h"
#include "backend/cuda/step_tables.h"
#include "backend/cuda/weight_upload.h"
#include "backend/cuda_library.h"

namespace kvasir::cuda {

class CudaBackend final : public Backend {
 public:
  // Throws Error(kDeviceUnavailable | kInsufficientMemory | kUnsupportedArchitecture).
  explicit CudaBackend(const CudaBackendOptions& options);
  ~CudaBackend() override;

  std::string name() const override { return "cuda:" + std::to_string(gpu_.index()); }
  std::unique_ptr<BackendMemory> Allocate(int64_t bytes, const std::string& purpose, bool lazy) override;
  int64_t FreeBytes() override { return gpu_.FreeBytes(); }
  // What split attention, ids and summaries have grown to.
  int64_t WorkBytes() const override;
  void Upload(void* to, const void* from, int64_t bytes) override;
  void Copy(void* to, const void* from, int64_t bytes) override;
  void UploadLinear(const LinearWeight& packed, const LinearWeight& own) override;
  void FinishUploads() override;
  const float* HostView(const float* values, int64_t n, std::vector<float>* buffer) override;

  void BeginStep(const StepInput& step) override;
  void EndStep() override;
  void AbandonStep() noexcept override;
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
  void ReserveSummary(int64_t, int64_t, int64_t) override {}
  void Summarize(const float* logits, int64_t rows, int64_t vocab, int64_t n_candidates,
                 LogitsSummary* summaries) override;

 private:
  // Whether ops are to queue anything: not while a recorded step is replayed.
  bool Queues() const { return graphs_.mode() != StepGraphs::Mode::kReplaying; }
  cudaStream_t stream() const { return gpu_.stream(); }
  void Download(void* to, const void* from, int64_t bytes);
  KvPages PagesOf(const AttentionArgs& args) const { return {args.pages, *args.layout, args.layer}; }
  void SummarizeSlice(const float* logits, int64_t rows, int64_t vocab, int64_t n_candidates,
                      LogitsSummary* summaries);

  Gpu gpu_;
  StepTables tables_;
  StepGraphs graphs_;
  std::unique_ptr<WeightUpload> upload_;         // while weights are loaded
  std::unique_ptr<BackendMemory> partials_;      // of split attention
  std::unique_ptr<BackendMemory> ids_;           // of UnpackRows
  std::unique_ptr<BackendMemory> summary_;       // LogitsOutput and inverse temperatures
  std::unique_ptr<BackendMemory> summary_host_;  // the same, pinned
};

}  // namespace kvasir::cuda

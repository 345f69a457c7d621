// The backend of NVIDIA GPUs: ops queue kernels (kernels.h) on one stream and return. It keeps the bits of the CPU
// backend. Decode steps are recorded and replayed (step_graphs.h). Loading packs on the CPU; see UploadLinear.
#pragma once

#include <memory>
#include <vector>

#include "backend/cuda/device.h"
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

  std::string kernels() const override { return "sm_" + std::to_string(device_.architecture()); }
  std::string device() const override { return "cuda:" + std::to_string(device_.index()); }
  int threads() const override { return 1; }
  int64_t quantized_bytes() const override { return 1; }
  int64_t kv_run() const override { return 1; }
  int64_t block_rows() const override { return kMaxStepRows; }
  void ForRowBlocks(int64_t rows, const std::function<void(const RowBlock&)>& fn) override;

  std::unique_ptr<BackendMemory> Allocate(int64_t bytes, const std::string& purpose, bool lazy) override;
  int64_t FreeBytes() override { return device_.FreeBytes(); }
  void Upload(void* to, const void* from, int64_t bytes) override;
  void Copy(void* to, const void* from, int64_t bytes) override;
  const float* HostView(const float* values, int64_t n, std::vector<float>* buffer) override;
  void BeginStep(const StepInput& step) override;
  void EndStep() override;
  void AbandonStep() noexcept override;

  int64_t PackedBytes(Dtype dtype, int64_t n, int64_t k) const override;
  int64_t PackedScaleBytes(Dtype dtype, int64_t n, int64_t k) const override;
  void PackRows(const LinearWeight& weight, int64_t first, int64_t n_rows, const float* rows) override;
  void UploadLinear(const LinearWeight& packed, const LinearWeight& own) override;

  void Embed(const LinearWeight& table, const int32_t* ids, int64_t n, float* x) override;
  void AddRows(const float* table, const int32_t* positions, int64_t n, int64_t width, float* x) override;
  void GatherRows(const float* x, const int32_t* indices, int64_t n, int64_t width, float* out) override;
  void Norm(const NormWeight& weight, const float* x, int64_t rows, Activations* out) override;
  void Prepare(float* x, int64_t rows, bool rotated, Activations* out) override;
  void Linear(const LinearWeight& weight, const Activations& x, int64_t rows, float* out, int64_t ld_out,
              bool accumulate) override;
  void Activation(ActivationKind kind, bool gated, const float* x, int64_t rows, float* scratch,
                  Activations* out) override;
  void LinearActivation(const LinearWeight& weight, ActivationKind kind, const Activations& x, int64_t rows,
                        float* wide, float* scratch, Activations* out) override;
  void StoreKv(const AttentionArgs& args, const RowBlock& block, const float* qkv, Queries* queries) override;
  void Attention(const AttentionArgs& args, const Queries& queries, float* out) override;
  void RotateBlocks(float* x, int64_t rows, int64_t width, int block) override;
  void Summarize(const float* logits, int64_t rows, int64_t vocab, int64_t n_candidates,
                 LogitsSummary* summaries) override;

 private:
  static constexpr int64_t kMaxStepRows = 512;

  // Whether ops are to queue anything: not while a recorded step is replayed.
  bool Queues() const { return graphs_.mode() != StepGraphs::Mode::kReplaying; }
  cudaStream_t stream() const { return device_.stream(); }
  void Download(void* to, const void* from, int64_t bytes);
  // Ids or indices on the device: those of the step, or a copy that the next call overwrites.
  const int32_t* OnDevice(const int32_t* host, int64_t n);
  KvPages PagesOf(const AttentionArgs& args) const { return {args.pages, *args.layout, args.layer}; }
  void SummarizeSlice(const float* logits, int64_t rows, int64_t vocab, int64_t n_candidates,
                      LogitsSummary* summaries);

  Device device_;
  StepTables tables_;
  StepGraphs graphs_;
  std::unique_ptr<WeightUpload> upload_;         // while weights are loaded
  std::unique_ptr<BackendMemory> partials_;      // of split attention
  std::unique_ptr<BackendMemory> ids_;           // see OnDevice
  std::unique_ptr<BackendMemory> summary_;       // LogitsOutput and inverse temperatures
  std::unique_ptr<BackendMemory> summary_host_;  // the same, pinned
};

}  // namespace kvasir::cuda

#include "backend/cuda/cuda_backend.h"

#include <algorithm>

#include "core/error.h"

namespace kvasir::cuda {

namespace {

constexpr int64_t kStepRows = 512;

int64_t StepRows(const CudaBackendOptions& options) { return std::max(kStepRows, options.least_step_rows); }

}  // namespace

CudaBackend::CudaBackend(const CudaBackendOptions& options)
    : gpu_(options.device),
      tables_(gpu_, {StepRows(options), options.max_positions, options.page_tables}),
      graphs_(gpu_) {
  if (options.padded_head_dim > kMaxHeadDim) {
    throw Error(
        ErrorCode::kUnsupportedArchitecture,
        "Attention heads of more than " + std::to_string(kMaxHeadDim) + " dimensions are not supported");
  }
  traits_.kernels = "sm_" + std::to_string(gpu_.architecture());
  traits_.step_rows = traits_.block_rows = traits_.lane_rows = StepRows(options);
  gpu_.Synchronize();
}

CudaBackend::~CudaBackend() {
  AbandonStep();
  static_cast<void>(cudaSetDevice(gpu_.index()));
  static_cast<void>(cudaStreamSynchronize(stream()));
}

void CudaBackend::ForRowBlocks(int64_t rows, const std::function<void(const RowBlock&)>& fn) {
  fn({.first = 0, .count = rows, .lane = 0});
}

std::unique_ptr<BackendMemory> CudaBackend::Allocate(int64_t bytes, const std::string& purpose, bool) {
  return AllocateOnDevice(gpu_, bytes, purpose);
}

int64_t CudaBackend::WorkBytes() const {
  int64_t bytes = 0;
  for (const auto* memory : {&partials_, &ids_, &summary_}) {
    if (*memory != nullptr) bytes += static_cast<int64_t>((*memory)->size());
  }
  return bytes;
}

// From pageable memory: the call returns when it has been read.
void CudaBackend::Upload(void* to, const void* from, int64_t bytes) {
  gpu_.Use();
  Check(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyHostToDevice, stream()),
        "copying to the GPU");
}

void CudaBackend::Copy(void* to, const void* from, int64_t bytes) {
  gpu_.Use();
  Check(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDeviceToDevice, stream()),
        "copying on the GPU");
}

void CudaBackend::Download(void* to, const void* from, int64_t bytes) {
  Check(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDeviceToHost, stream()),
        "copying from the GPU");
  gpu_.Synchronize();
}

const float* CudaBackend::HostView(const float* values, int64_t n, std::vector<float>* buffer) {
  gpu_.Use();
  graphs_.Finish();
  buffer->resize(static_cast<size_t>(n));
  Download(buffer->data(), values, n * static_cast<int64_t>(sizeof(float)));
  return buffer->data();
}

void CudaBackend::BeginStep(const StepInput& step) {
  gpu_.Use();
  // What is recorded has one token a sequence: prompts come in too many shapes to be worth remembering.
  const bool recorded = step.whole && step.rows == step.n_sequences;
  tables_.Send(step, recorded, gpu_);
  const StepTable& table = tables_.table();
  if (table.split) {
    const int64_t bytes = AttentionPartialBytes(*step.shape, table.n_tiles, table.max_chunks);
    if (partials_ == nullptr || static_cast<int64_t>(partials_->size()) < bytes) {
      graphs_.Clear();  // they hold the address
      partials_ = GrowOnDevice(gpu_, std::move(partials_), bytes, "split attention");
    }
  }
  if (recorded) {
    graphs_.Begin({table.rows, table.n_tiles, table.max_chunks, table.split, step.n_wanted});
  }
}

void CudaBackend::EndStep() {
  gpu_.Use();
  graphs_.Finish();
  gpu_.Synchronize();
}

void CudaBackend::AbandonStep() noexcept {
  static_cast<void>(cudaSetDevice(gpu_.index()));
  graphs_.Abandon();
  static_cast<void>(cudaStreamSynchronize(stream()));
}

void CudaBackend::UploadLinear(const LinearWeight& packed, const LinearWeight& own) {
  if (packed.bias != nullptr) {
    Upload(own.bias, packed.bias, CeilDiv(packed.n, kPanelColumns) * kPanelColumns * 4);
  }
  if (upload_ == nullptr) upload_ = std::make_unique<WeightUpload>(gpu_);
  upload_->Send(packed, own);
}

void CudaBackend::FinishUploads() {
  gpu_.Use();
  upload_.reset();
  gpu_.Synchronize();
}

int64_t CudaBackend::LinearInputBytes(Dtype dtype, int64_t rows, int64_t width) const {
  if (dtype != Dtype::kInt8) return 0;
  const int64_t bytes = LinearInputGroups(rows, width) * (kGroup + static_cast<int64_t>(sizeof(float)));
  return CeilDiv(bytes, 64) * 64;
}

}  // namespace kvasir::cuda

#include "backend/cuda/cuda_backend.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"

namespace kvasir::cuda {

namespace {

// Rows of logits that are summarized at a time.
constexpr int64_t kSummaryRows = 16;

std::unique_ptr<BackendMemory> GrowOnDevice(const Device& device, std::unique_ptr<BackendMemory> memory,
                                            int64_t bytes, const std::string& purpose) {
  if (memory != nullptr && static_cast<int64_t>(memory->size()) >= bytes) return memory;
  memory.reset();
  return AllocateOnDevice(device, bytes, purpose);
}

// Parts of the memory of a summary, on either side.
struct SummaryParts {
  LogitsOutput out;
  float* inverse;
  int64_t bytes;  // of what comes back; on the device, scratch memory follows
  int64_t device_bytes;

  SummaryParts(uint8_t* memory, int64_t count, int64_t vocab) {
    const int64_t sums = kSummaryRows * 2 * CeilDiv(vocab, kSumBlock);
    inverse = reinterpret_cast<float*>(memory);
    out.max = inverse + kSummaryRows;
    out.ids = reinterpret_cast<int32_t*>(out.max + kSummaryRows);
    out.logits = reinterpret_cast<float*>(out.ids + kSummaryRows * count);
    out.sums = out.logits + kSummaryRows * count;
    bytes = CeilDiv(4 * (2 * kSummaryRows + 2 * kSummaryRows * count + sums), 8) * 8;
    out.scratch = memory + bytes;
    device_bytes = bytes + SummaryScratchBytes(kSummaryRows, vocab);
  }
};

}  // namespace

CudaBackend::CudaBackend(const CudaBackendOptions& options)
    : device_(options.device), tables_(device_, kMaxStepRows, options.max_positions), graphs_(device_) {
  if (options.padded_head_dim > kMaxHeadDim) {
    throw Error(
        ErrorCode::kUnsupportedArchitecture,
        "Attention heads of more than " + std::to_string(kMaxHeadDim) + " dimensions are not supported");
  }
  device_.Synchronize();
}

CudaBackend::~CudaBackend() {
  AbandonStep();
  static_cast<void>(cudaSetDevice(device_.index()));
  static_cast<void>(cudaStreamSynchronize(stream()));
}

void CudaBackend::ForRowBlocks(int64_t rows, const std::function<void(const RowBlock&)>& fn) {
  fn({.first = 0, .count = rows, .lane = 0});
}

std::unique_ptr<BackendMemory> CudaBackend::Allocate(int64_t bytes, const std::string& purpose, bool) {
  return AllocateOnDevice(device_, bytes, purpose);
}

// From pageable memory: the call returns when it has been read.
void CudaBackend::Upload(void* to, const void* from, int64_t bytes) {
  device_.Use();
  Check(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyHostToDevice, stream()),
        "copying to the GPU");
}

void CudaBackend::Copy(void* to, const void* from, int64_t bytes) {
  device_.Use();
  Check(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDeviceToDevice, stream()),
        "copying on the GPU");
}

void CudaBackend::Download(void* to, const void* from, int64_t bytes) {
  Check(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDeviceToHost, stream()),
        "copying from the GPU");
  device_.Synchronize();
}

const float* CudaBackend::HostView(const float* values, int64_t n, std::vector<float>* buffer) {
  device_.Use();
  graphs_.Finish();
  buffer->resize(static_cast<size_t>(n));
  Download(buffer->data(), values, n * static_cast<int64_t>(sizeof(float)));
  return buffer->data();
}

void CudaBackend::BeginStep(const StepInput& step) {
  device_.Use();
  // What is recorded has one token a sequence: prompts come in too many shapes to be worth remembering.
  const bool recorded = step.whole && step.rows == step.n_sequences;
  tables_.Send(step, recorded, device_);
  const StepTable& table = tables_.table();
  if (table.split) {
    const int64_t bytes = AttentionPartialBytes(*step.shape, table.n_tiles, table.max_chunks);
    if (partials_ == nullptr || static_cast<int64_t>(partials_->size()) < bytes) {
      graphs_.Clear();  // they hold the address
      partials_ = GrowOnDevice(device_, std::move(partials_), bytes, "split attention");
    }
  }
  if (recorded) {
    graphs_.Begin({table.rows, table.n_tiles, table.max_chunks, table.split, step.n_wanted});
  }
}

void CudaBackend::EndStep() {
  device_.Use();
  upload_.reset();
  graphs_.Finish();
  device_.Synchronize();
  tables_.Forget();
}

void CudaBackend::AbandonStep() noexcept {
  static_cast<void>(cudaSetDevice(device_.index()));
  graphs_.Abandon();
  static_cast<void>(cudaStreamSynchronize(stream()));
  tables_.Forget();
}

int64_t CudaBackend::PackedBytes(Dtype dtype, int64_t n, int64_t k) const {
  const int64_t panels = CeilDiv(n, kPanelColumns);
  if (dtype == Dtype::kF32) return panels * k * kPanelColumns * static_cast<int64_t>(sizeof(float));
  return panels * CeilDiv(k, kGroup) * static_cast<int64_t>(sizeof(Int8Block));
}

int64_t CudaBackend::PackedScaleBytes(Dtype dtype, int64_t n, int64_t k) const {
  if (dtype == Dtype::kF32) return 0;
  return CeilDiv(n, kPanelColumns) * CeilDiv(k, kGroup) * static_cast<int64_t>(sizeof(Int8Block::scales));
}

void CudaBackend::PackRows(const LinearWeight&, int64_t, int64_t, const float*) {
  throw Error(ErrorCode::kInternal, "Weights are packed by the CPU backend and uploaded");
}

void CudaBackend::UploadLinear(const LinearWeight& packed, const LinearWeight& own) {
  if (packed.bias != nullptr) {
    Upload(const_cast<float*>(own.bias), packed.bias, CeilDiv(packed.n, kPanelColumns) * kPanelColumns * 4);
  }
  if (upload_ == nullptr) upload_ = std::make_unique<WeightUpload>(device_);
  upload_->Send(packed, own);
}

const int32_t* CudaBackend::OnDevice(const int32_t* host, int64_t n) {
  const int32_t* there = tables_.Find(host);
  if (there != nullptr) return there;
  const int64_t bytes = n * static_cast<int64_t>(sizeof(int32_t));
  ids_ = GrowOnDevice(device_, std::move(ids_), bytes, "ids");
  Upload(ids_->data(), host, bytes);
  return reinterpret_cast<const int32_t*>(ids_->data());
}

void CudaBackend::Embed(const LinearWeight& table, const int32_t* ids, int64_t n, float* x) {
  if (Queues()) cuda::Embed(table, OnDevice(ids, n), n, x, stream());
}

void CudaBackend::AddRows(const float* table, const int32_t* positions, int64_t n, int64_t width, float* x) {
  if (Queues()) cuda::AddRows(table, OnDevice(positions, n), n, width, x, stream());
}

void CudaBackend::GatherRows(const float* x, const int32_t* indices, int64_t n, int64_t width, float* out) {
  if (Queues()) cuda::GatherRows(x, OnDevice(indices, n), n, width, out, stream());
}

void CudaBackend::Norm(const NormWeight& weight, const float* x, int64_t rows, Activations* out) {
  if (Queues()) cuda::Norm(weight, x, rows, *out, stream());
}

void CudaBackend::Prepare(float* x, int64_t rows, bool rotated, Activations* out) {
  if (out->dtype == Dtype::kF32) {
    out->f32 = x;
  } else if (Queues()) {
    cuda::Quantize(x, rows, rotated, *out, stream());
  }
}

void CudaBackend::Linear(const LinearWeight& weight, const Activations& x, int64_t rows, float* out,
                         int64_t ld_out, bool accumulate) {
  if (Queues()) cuda::Linear(weight, x, rows, out, ld_out, accumulate, stream());
}

void CudaBackend::Activation(ActivationKind kind, bool gated, const float* x, int64_t rows, float* scratch,
                             Activations* out) {
  out->f32 = scratch;
  if (Queues()) Activate(kind, gated, x, rows, *out, stream());
}

void CudaBackend::LinearActivation(const LinearWeight& weight, ActivationKind kind, const Activations& x,
                                   int64_t rows, float* wide, float* scratch, Activations* out) {
  Linear(weight, x, rows, wide, weight.n, false);
  // The float32 values are wanted only by a linear of that dtype.
  Activation(kind, weight.n == 2 * out->width, wide, rows, out->dtype == Dtype::kF32 ? scratch : nullptr,
             out);
}

void CudaBackend::StoreKv(const AttentionArgs& args, const RowBlock& block, const float* qkv,
                          Queries* queries) {
  if (!Queues()) return;
  cuda::StoreKv(*args.shape, PagesOf(args), tables_.table(), block.first, block.count, qkv, *queries,
                stream());
}

void CudaBackend::Attention(const AttentionArgs& args, const Queries& queries, float* out) {
  if (!Queues()) return;
  float* partials = partials_ == nullptr ? nullptr : reinterpret_cast<float*>(partials_->data());
  cuda::Attention(*args.shape, PagesOf(args), tables_.table(), queries, args.trace, partials, out, stream());
}

void CudaBackend::RotateBlocks(float* x, int64_t rows, int64_t width, int block) {
  if (Queues()) cuda::RotateBlocks(x, rows, width, block, stream());
}

void CudaBackend::Summarize(const float* logits, int64_t rows, int64_t vocab, int64_t n_candidates,
                            LogitsSummary* summaries) {
  device_.Use();
  graphs_.Finish();
  for (int64_t row = 0; row < rows; row += kSummaryRows) {
    SummarizeSlice(logits + row * vocab, std::min(kSummaryRows, rows - row), vocab, n_candidates,
                   summaries + row);
  }
}

void CudaBackend::SummarizeSlice(const float* logits, int64_t rows, int64_t vocab, int64_t n_candidates,
                                 LogitsSummary* summaries) {
  const SummaryParts sizes(nullptr, n_candidates, vocab);
  const int64_t bytes = sizes.bytes;
  summary_ = GrowOnDevice(device_, std::move(summary_), sizes.device_bytes, "the best tokens");
  if (summary_host_ == nullptr || static_cast<int64_t>(summary_host_->size()) < bytes) {
    summary_host_ = AllocatePinned(device_, bytes, "the best tokens");
  }
  const SummaryParts there(summary_->data(), n_candidates, vocab);
  const SummaryParts here(summary_host_->data(), n_candidates, vocab);
  for (int64_t i = 0; i < rows; ++i) here.inverse[i] = 1.0f / summaries[i].temperature;
  Check(cudaMemcpyAsync(there.inverse, here.inverse, static_cast<size_t>(rows) * sizeof(float),
                        cudaMemcpyHostToDevice, stream()),
        "sending temperatures");
  SummarizeLogits(logits, rows, vocab, n_candidates, there.inverse, there.out, stream());
  Download(here.inverse, there.inverse, bytes);

  const int64_t blocks = CeilDiv(vocab, kSumBlock);
  for (int64_t i = 0; i < rows; ++i) {
    LogitsSummary& s = summaries[i];
    std::copy_n(here.out.ids + i * n_candidates, n_candidates, s.ids);
    std::copy_n(here.out.logits + i * n_candidates, n_candidates, s.logits);
    const auto log_sum_exp = [&](int which, float inverse) {
      const float* sums = here.out.sums + (2 * i + which) * blocks;
      double total = 0;
      for (int64_t block = 0; block < blocks; ++block) total += static_cast<double>(sums[block]);
      return static_cast<double>(here.out.max[i]) * static_cast<double>(inverse) + std::log(total);
    };
    s.log_sum_exp_1 = log_sum_exp(1, 1.0f);
    s.log_sum_exp = s.temperature == 1.0f ? s.log_sum_exp_1 : log_sum_exp(0, here.inverse[i]);
  }
}

}  // namespace kvasir::cuda

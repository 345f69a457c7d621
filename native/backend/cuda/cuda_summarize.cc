// What sampling needs of rows of logits: kernels find it, the host adds what is added in double.
#include <algorithm>
#include <cmath>

#include "backend/cuda/cuda_backend.h"

namespace kvasir::cuda {

namespace {

// Rows of logits that are summarized at a time.
constexpr int64_t kSummaryRows = 16;

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

void CudaBackend::Summarize(const float* logits, int64_t rows, int64_t vocab, int64_t n_candidates,
                            LogitsSummary* summaries) {
  gpu_.Use();
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
  summary_ = GrowOnDevice(gpu_, std::move(summary_), sizes.device_bytes, "the best tokens");
  if (summary_host_ == nullptr || static_cast<int64_t>(summary_host_->size()) < bytes) {
    summary_host_ = AllocatePinned(gpu_, bytes, "the best tokens");
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

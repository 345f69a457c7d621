// Recorded steps: decode steps of one shape queue the same kernels with the same arguments, so the second is recorded as a
// CUDA graph, and the third and later are one launch instead of hundreds. What differs between them is in StepTables.
#pragma once

#include <cstdint>
#include <map>
#include <tuple>

#include "backend/cuda/gpu.h"

namespace kvasir::cuda {

// Rows, tiles, chunks, split, wanted rows.
using GraphKey = std::tuple<int64_t, int64_t, int64_t, bool, int64_t>;

class StepGraphs {
 public:
  explicit StepGraphs(const Gpu& device) : device_(device) {}
  ~StepGraphs() { Clear(); }
  StepGraphs(const StepGraphs&) = delete;
  StepGraphs& operator=(const StepGraphs&) = delete;

  enum class Mode { kDirect, kRecording, kReplaying };
  // From here to Finish the step's work is queued (kDirect), recorded, or not to be queued at all.
  Mode Begin(const GraphKey& key);
  // Runs what was recorded. The mode is kDirect again.
  void Finish();
  // Ends a recording whose step failed.
  void Abandon();
  // The addresses that were recorded are no longer valid.
  void Clear();
  Mode mode() const { return mode_; }

 private:
  struct Entry {
    cudaGraphExec_t graph = nullptr;
    int64_t last_used = 0;
  };
  void Trim();

  const Gpu& device_;
  Mode mode_ = Mode::kDirect;
  GraphKey key_;
  std::map<GraphKey, Entry> entries_;
  int64_t clock_ = 0;
};

}  // namespace kvasir::cuda

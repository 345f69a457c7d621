#include "backend/cuda/step_graphs.h"

#include <algorithm>
#include <utility>

namespace kvasir::cuda {

namespace {

// Shapes that are remembered: a graph of a 30-layer model takes some MB of the device.
constexpr size_t kMaxEntries = 32;

}  // namespace

StepGraphs::Mode StepGraphs::Begin(const GraphKey& key) {
  const auto [it, is_first] = entries_.try_emplace(key);
  it->second.last_used = ++clock_;
  key_ = key;
  if (is_first) {
    Trim();
  } else if (it->second.graph != nullptr) {
    mode_ = Mode::kReplaying;
  } else {
    Check(cudaStreamBeginCapture(device_.stream(), cudaStreamCaptureModeThreadLocal), "recording a step");
    mode_ = Mode::kRecording;
  }
  return mode_;
}

void StepGraphs::Finish() {
  const Mode mode = std::exchange(mode_, Mode::kDirect);
  if (mode == Mode::kDirect) return;
  Entry& entry = entries_.at(key_);
  if (mode == Mode::kRecording) {
    cudaGraph_t graph = nullptr;
    Check(cudaStreamEndCapture(device_.stream(), &graph), "recording a step");
    const cudaError_t status = cudaGraphInstantiate(&entry.graph, graph, 0);
    static_cast<void>(cudaGraphDestroy(graph));
    if (status != cudaSuccess) entry.graph = nullptr;
    Check(status, "preparing a recorded step");
  }
  Check(cudaGraphLaunch(entry.graph, device_.stream()), "running a recorded step");
}

void StepGraphs::Abandon() {
  if (std::exchange(mode_, Mode::kDirect) != Mode::kRecording) return;
  cudaGraph_t graph = nullptr;
  static_cast<void>(cudaStreamEndCapture(device_.stream(), &graph));
  if (graph != nullptr) static_cast<void>(cudaGraphDestroy(graph));
  static_cast<void>(cudaGetLastError());
}

void StepGraphs::Clear() {
  for (auto& [key, entry] : entries_) {
    if (entry.graph != nullptr) static_cast<void>(cudaGraphExecDestroy(entry.graph));
  }
  entries_.clear();
}

// The shape that has not come for the longest time goes.
void StepGraphs::Trim() {
  if (entries_.size() <= kMaxEntries) return;
  const auto oldest = std::min_element(entries_.begin(), entries_.end(), [](const auto& a, const auto& b) {
    return a.second.last_used < b.second.last_used;
  });
  if (oldest->second.graph != nullptr) static_cast<void>(cudaGraphExecDestroy(oldest->second.graph));
  entries_.erase(oldest);
}

}  // namespace kvasir::cuda

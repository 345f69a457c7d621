// Work that waits in streams, and the order in which it runs. Refuses to know what the work is.
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <set>
#include <thread>
#include <vector>

#include "runtime_api.h"

namespace cuda_emulation {

struct Work {
  std::function<void()> run;
  CUstream_st* stream = nullptr;
  std::vector<std::shared_ptr<Work>> before;  // in other streams
  bool done = false;
  std::chrono::steady_clock::time_point time;  // when it ran
};
using WorkPtr = std::shared_ptr<Work>;

struct Graph {
  struct Node {
    std::function<void()> run;
    std::vector<int> before;
  };
  std::vector<Node> nodes;
};

// One stream capture, from the stream that began it.
struct Capture {
  Graph graph;
  CUstream_st* origin = nullptr;
  cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;
  std::thread::id thread;
  bool invalid = false;
};

}  // namespace cuda_emulation

struct CUstream_st {
  bool blocking = true;  // towards the default stream
  std::deque<cuda_emulation::WorkPtr> queue;
  cuda_emulation::WorkPtr last;
  std::vector<cuda_emulation::WorkPtr> waits;  // before the next work
  std::shared_ptr<cuda_emulation::Capture> capture;
  std::vector<int> capture_tail;  // nodes that the next one follows
};

struct CUevent_st {
  bool timing = true;
  cuda_emulation::WorkPtr recorded;
  std::shared_ptr<cuda_emulation::Capture> capture;
  std::vector<int> capture_tail;
};

struct CUgraph_st {
  cuda_emulation::Graph graph;
};
struct CUgraphExec_st {
  std::shared_ptr<const cuda_emulation::Graph> graph;
};

namespace cuda_emulation {

struct Streams {
  CUstream_st standard;
  std::set<std::unique_ptr<CUstream_st>> others;
};
Streams& All();
template <typename Visit>
void ForEachStream(Visit visit) {
  visit(&All().standard);
  for (const auto& stream : All().others) visit(stream.get());
}

// The stream of a handle; nullptr when there is none.
CUstream_st* FindStream(cudaStream_t handle);
// Queues, or records when the stream is being captured.
cudaError_t Enqueue(cudaStream_t handle, std::function<void()> run, WorkPtr* queued = nullptr);
bool IsCapturing(cudaStream_t handle);
// For calls that wait for the device: not while a capture forbids them, which such a call spoils.
cudaError_t CheckNoCapture();
void RunUntil(const WorkPtr& work);
void RunStream(CUstream_st* stream);
void RunEverything();
// Now and then, by seed, something that nobody waits for yet.
void MakeProgress();
// Forgets all streams.
void DropStreams();

}  // namespace cuda_emulation

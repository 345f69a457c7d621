// Streams, events, captures and graphs as the runtime has them.
#include <algorithm>
#include <memory>
#include <type_traits>
#include <utility>

#include "device_state.h"
#include "random_order.h"
#include "stream_queue.h"

namespace cuda_emulation {
namespace {

void RunGraph(const Graph& graph) {
  std::vector<int> missing(graph.nodes.size());
  std::vector<std::vector<int>> after(graph.nodes.size());
  std::vector<int> ready;
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    missing[i] = static_cast<int>(graph.nodes[i].before.size());
    for (const int other : graph.nodes[i].before)
      after[static_cast<size_t>(other)].push_back(static_cast<int>(i));
    if (missing[i] == 0) ready.push_back(static_cast<int>(i));
  }
  while (!ready.empty() && Device().sticky == cudaSuccess) {
    std::swap(ready[random_order.Below(static_cast<uint32_t>(ready.size()))], ready.back());
    const size_t node = static_cast<size_t>(ready.back());
    ready.pop_back();
    if (graph.nodes[node].run) graph.nodes[node].run();
    for (const int next : after[node]) {
      if (--missing[static_cast<size_t>(next)] == 0) ready.push_back(next);
    }
  }
}

// Whether every node comes before one of `tail`.
bool AllJoined(const Graph& graph, std::vector<int> tail) {
  std::vector<bool> seen(graph.nodes.size());
  size_t n_seen = 0;
  while (!tail.empty()) {
    const size_t node = static_cast<size_t>(tail.back());
    tail.pop_back();
    if (seen[node]) continue;
    seen[node] = true;
    ++n_seen;
    tail.insert(tail.end(), graph.nodes[node].before.begin(), graph.nodes[node].before.end());
  }
  return n_seen == graph.nodes.size();
}

cudaError_t CreateStream(cudaStream_t* handle, unsigned flags) {
  if (handle == nullptr || flags > cudaStreamNonBlocking) return cudaErrorInvalidValue;
  auto stream = std::make_unique<CUstream_st>();
  stream->blocking = flags == cudaStreamDefault;
  *handle = stream.get();
  All().others.insert(std::move(stream));
  return cudaSuccess;
}

cudaError_t WaitEvent(CUstream_st* stream, cudaEvent_t event) {
  if (event->capture != nullptr) {
    if (stream->capture != nullptr && stream->capture != event->capture) return cudaErrorInvalidValue;
    stream->capture = event->capture;
    stream->capture_tail.insert(stream->capture_tail.end(), event->capture_tail.begin(),
                                event->capture_tail.end());
    std::sort(stream->capture_tail.begin(), stream->capture_tail.end());
    stream->capture_tail.erase(std::unique(stream->capture_tail.begin(), stream->capture_tail.end()),
                               stream->capture_tail.end());
    return cudaSuccess;
  }
  if (stream->capture != nullptr) {
    if (event->recorded == nullptr) return cudaSuccess;
    stream->capture->invalid = true;
    return cudaErrorStreamCaptureIsolation;
  }
  if (event->recorded != nullptr && !event->recorded->done) stream->waits.push_back(event->recorded);
  return cudaSuccess;
}

cudaError_t EndCapture(CUstream_st* stream, cudaGraph_t* graph) {
  const std::shared_ptr<Capture> capture = stream->capture;
  *graph = nullptr;
  if (capture == nullptr || capture->origin != stream) return cudaErrorInvalidValue;
  const std::vector<int> tail = stream->capture_tail;
  ForEachStream([&](CUstream_st* other) {
    if (other->capture == capture) {
      other->capture = nullptr;
      other->capture_tail.clear();
    }
  });
  if (capture->invalid) return cudaErrorStreamCaptureInvalidated;
  if (!AllJoined(capture->graph, tail)) return cudaErrorStreamCaptureUnjoined;
  *graph = new CUgraph_st{std::move(capture->graph)};
  return cudaSuccess;
}

}  // namespace
}  // namespace cuda_emulation

using cuda_emulation::Api;

cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  return Api([&] { return cuda_emulation::CreateStream(stream, cudaStreamDefault); });
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  return Api([&] { return cuda_emulation::CreateStream(stream, flags); });
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  return Api([&] {
    if (stream == nullptr || cuda_emulation::FindStream(stream) == nullptr)
      return cudaErrorInvalidResourceHandle;
    cuda_emulation::RunStream(stream);
    std::erase_if(cuda_emulation::All().others, [&](const auto& other) { return other.get() == stream; });
    return cudaSuccess;
  });
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  return Api([&] {
    CUstream_st* found = cuda_emulation::FindStream(stream);
    if (found == nullptr) return cudaErrorInvalidResourceHandle;
    if (found->capture != nullptr) {
      found->capture->invalid = true;
      return cudaErrorStreamCaptureUnsupported;
    }
    const cudaError_t status = cuda_emulation::CheckNoCapture();
    if (status != cudaSuccess) return status;
    // Work in the default stream is what blocking streams wait for, and the other way round.
    if (stream == nullptr) {
      cuda_emulation::ForEachStream([](CUstream_st* other) {
        if (other->blocking) cuda_emulation::RunStream(other);
      });
    }
    cuda_emulation::RunStream(found);
    return cuda_emulation::Device().sticky;
  });
}

cudaError_t cudaStreamQuery(cudaStream_t stream) {
  return Api([&] {
    const CUstream_st* found = cuda_emulation::FindStream(stream);
    if (found == nullptr) return cudaErrorInvalidResourceHandle;
    return found->queue.empty() ? cudaSuccess : cudaErrorNotReady;
  });
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  return Api([&] {
    CUstream_st* found = cuda_emulation::FindStream(stream);
    if (found == nullptr || event == nullptr) return cudaErrorInvalidResourceHandle;
    return cuda_emulation::WaitEvent(found, event);
  });
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  return Api([&] {
    CUstream_st* found = cuda_emulation::FindStream(stream);
    if (found == nullptr) return cudaErrorInvalidResourceHandle;
    if (stream == nullptr) return cudaErrorStreamCaptureUnsupported;
    if (found->capture != nullptr) return cudaErrorInvalidValue;
    found->capture = std::make_shared<cuda_emulation::Capture>();
    found->capture->origin = found;
    found->capture->mode = mode;
    found->capture->thread = std::this_thread::get_id();
    return cudaSuccess;
  });
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  return Api([&] {
    CUstream_st* found = cuda_emulation::FindStream(stream);
    return found == nullptr ? cudaErrorInvalidResourceHandle : cuda_emulation::EndCapture(found, graph);
  });
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  return Api([&] {
    const CUstream_st* found = cuda_emulation::FindStream(stream);
    if (found == nullptr) return cudaErrorInvalidResourceHandle;
    *status = found->capture == nullptr ? cudaStreamCaptureStatusNone
              : found->capture->invalid ? cudaStreamCaptureStatusInvalidated
                                        : cudaStreamCaptureStatusActive;
    return cudaSuccess;
  });
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  return Api([&] {
    if (exec == nullptr || graph == nullptr) return cudaErrorInvalidValue;
    *exec = new CUgraphExec_st{std::make_shared<const cuda_emulation::Graph>(graph->graph)};
    return cudaSuccess;
  });
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  return Api([&] {
    if (exec == nullptr) return cudaErrorInvalidValue;
    return cuda_emulation::Enqueue(stream, [graph = exec->graph] { cuda_emulation::RunGraph(*graph); });
  });
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  const std::unique_ptr<std::remove_pointer_t<cudaGraphExec_t>> ended(exec);  // also when the device is lost
  return Api([] { return cudaSuccess; });
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  const std::unique_ptr<std::remove_pointer_t<cudaGraph_t>> ended(graph);  // also when the device is lost
  return Api([] { return cudaSuccess; });
}

cudaError_t cudaEventCreate(cudaEvent_t* event) { return cudaEventCreateWithFlags(event, cudaEventDefault); }

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  return Api([&] {
    *event = new CUevent_st;
    (*event)->timing = (flags & cudaEventDisableTiming) == 0;
    return cudaSuccess;
  });
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  const std::unique_ptr<std::remove_pointer_t<cudaEvent_t>> ended(event);  // also when the device is lost
  return Api([] { return cudaSuccess; });
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  return Api([&] {
    CUstream_st* found = cuda_emulation::FindStream(stream);
    if (found == nullptr || event == nullptr) return cudaErrorInvalidResourceHandle;
    event->capture = found->capture;
    event->capture_tail = found->capture_tail;
    event->recorded = nullptr;
    if (found->capture != nullptr) return cudaSuccess;
    return cuda_emulation::Enqueue(stream, nullptr, &event->recorded);
  });
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  return Api([&] {
    if (event == nullptr) return cudaErrorInvalidResourceHandle;
    if (event->capture != nullptr) return cudaErrorStreamCaptureUnsupported;
    if (event->recorded != nullptr) cuda_emulation::RunUntil(event->recorded);
    return cuda_emulation::Device().sticky;
  });
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  return Api([&] {
    if (event == nullptr) return cudaErrorInvalidResourceHandle;
    if (event->capture != nullptr) return cudaErrorStreamCaptureUnsupported;
    return event->recorded == nullptr || event->recorded->done ? cudaSuccess : cudaErrorNotReady;
  });
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  return Api([&] {
    if (!start->timing || !end->timing || start->recorded == nullptr || end->recorded == nullptr) {
      return cudaErrorInvalidResourceHandle;
    }
    if (!start->recorded->done || !end->recorded->done) return cudaErrorNotReady;
    const std::chrono::duration<float, std::milli> elapsed = end->recorded->time - start->recorded->time;
    *milliseconds = elapsed.count();
    return cudaSuccess;
  });
}

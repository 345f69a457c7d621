#include "stream_queue.h"

#include <algorithm>
#include <set>

#include "device_state.h"
#include "random_order.h"

namespace cuda_emulation {
namespace {

constexpr size_t kMaxQueue = 8192;  // then the oldest work runs, as on a device

struct Streams {
  CUstream_st standard;
  std::set<std::unique_ptr<CUstream_st>> others;
};
Streams& All() {
  static Streams streams;
  return streams;
}

template <typename Visit>
void ForEachStream(Visit visit) {
  visit(&All().standard);
  for (const auto& stream : All().others) visit(stream.get());
}

void RunWork(Work& work) {
  // After a fault the device runs nothing more; waiting ends all the same.
  if (Device().sticky == cudaSuccess && !Device().lost && work.run) {
    const DeviceMemoryAccess access;
    work.run();
  }
  work.run = nullptr;
  work.before.clear();
  work.time = std::chrono::steady_clock::now();
  work.done = true;
}

void RunFront(CUstream_st* stream) {
  const WorkPtr work = stream->queue.front();
  for (const WorkPtr& other : work->before) RunUntil(other);
  if (work->done) return;  // one of them came back to this stream
  stream->queue.pop_front();
  RunWork(*work);
}

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

cudaError_t Record(CUstream_st* stream, std::function<void()> run) {
  if (stream->capture->invalid) return cudaErrorStreamCaptureInvalidated;
  Graph& graph = stream->capture->graph;
  graph.nodes.push_back({std::move(run), stream->capture_tail});
  stream->capture_tail = {static_cast<int>(graph.nodes.size()) - 1};
  return cudaSuccess;
}

bool AnyBlockingCapture() {
  bool any = false;
  ForEachStream([&](CUstream_st* stream) { any = any || (stream->capture != nullptr && stream->blocking); });
  return any;
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

CUstream_st* FindStream(cudaStream_t handle) {
  if (handle == nullptr) return &All().standard;
  for (const auto& stream : All().others) {
    if (stream.get() == handle) return handle;
  }
  return nullptr;
}

bool IsCapturing(cudaStream_t handle) {
  const CUstream_st* stream = FindStream(handle);
  return stream != nullptr && stream->capture != nullptr;
}

cudaError_t CheckNoCapture() {
  cudaError_t status = cudaSuccess;
  ForEachStream([&](CUstream_st* stream) {
    if (stream->capture == nullptr || stream->capture->mode == cudaStreamCaptureModeRelaxed) return;
    const bool own = stream->capture->thread == std::this_thread::get_id();
    if (stream->capture->mode == cudaStreamCaptureModeThreadLocal && !own) return;
    stream->capture->invalid = true;
    status = cudaErrorStreamCaptureUnsupported;
  });
  return status;
}

cudaError_t Enqueue(cudaStream_t handle, std::function<void()> run, WorkPtr* queued) {
  CUstream_st* stream = FindStream(handle);
  if (stream == nullptr) return cudaErrorInvalidResourceHandle;
  if (stream->capture != nullptr) return Record(stream, std::move(run));
  if (handle == nullptr && AnyBlockingCapture()) return cudaErrorStreamCaptureImplicit;
  auto work = std::make_shared<Work>();
  work->run = std::move(run);
  work->stream = stream;
  work->before.swap(stream->waits);
  // The default stream and blocking ones wait for each other.
  const auto follow = [&](const CUstream_st& other) {
    if (other.last != nullptr && !other.last->done) work->before.push_back(other.last);
  };
  if (handle != nullptr && stream->blocking) follow(All().standard);
  if (handle == nullptr) {
    for (const auto& other : All().others) {
      if (other->blocking) follow(*other);
    }
  }
  stream->queue.push_back(work);
  stream->last = work;
  if (queued != nullptr) *queued = work;
  if (stream->queue.size() > kMaxQueue) RunFront(stream);
  return cudaSuccess;
}

void RunUntil(const WorkPtr& work) {
  while (!work->done) RunFront(work->stream);
}

void RunStream(CUstream_st* stream) {
  while (!stream->queue.empty()) RunFront(stream);
}

void RunEverything() {
  for (;;) {
    std::vector<CUstream_st*> busy;
    ForEachStream([&](CUstream_st* stream) {
      if (!stream->queue.empty()) busy.push_back(stream);
    });
    if (busy.empty()) return;
    RunFront(busy[random_order.Below(static_cast<uint32_t>(busy.size()))]);
  }
}

void MakeProgress() {
  if ((random_order.Next() & 7) != 0) return;
  std::vector<CUstream_st*> busy;
  ForEachStream([&](CUstream_st* stream) {
    if (!stream->queue.empty()) busy.push_back(stream);
  });
  if (!busy.empty()) RunFront(busy[random_order.Below(static_cast<uint32_t>(busy.size()))]);
}

void DropStreams() {
  All().others.clear();
  All().standard = {};
}

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
  return Api([&] {
    delete exec;
    return cudaSuccess;
  });
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  return Api([&] {
    delete graph;
    return cudaSuccess;
  });
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
  return Api([&] {
    delete event;
    return cudaSuccess;
  });
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

#include "stream_queue.h"

#include "device_state.h"
#include "random_order.h"

namespace cuda_emulation {
namespace {

constexpr size_t kMaxQueue = 8192;  // then the oldest work runs, as on a device

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

}  // namespace

Streams& All() {
  static Streams streams;
  return streams;
}

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

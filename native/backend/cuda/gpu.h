// One GPU as this room uses it: its stream, its memory, memory that it can read without a copy. It launches nothing.
// Every call may come from another thread than the one before; not from two at once.
#pragma once

#include <optional>
#include <string>

#include "backend/cuda/launch.h"
#include "backend/device.h"

namespace kvasir::cuda {

// Of the device that is current when it is made. Statuses of its end are of no use: after a device is lost all fail.
class Stream {
 public:
  Stream() { Check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "creating a stream"); }
  ~Stream() { static_cast<void>(cudaStreamDestroy(stream_)); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  cudaStream_t get() const { return stream_; }

 private:
  cudaStream_t stream_ = nullptr;
};

class Event {
 public:
  Event() { Check(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), "creating an event"); }
  ~Event() { static_cast<void>(cudaEventDestroy(event_)); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  cudaEvent_t get() const { return event_; }

 private:
  cudaEvent_t event_ = nullptr;
};

class Gpu {
 public:
  // Throws Error(kDeviceUnavailable).
  explicit Gpu(int index);
  Gpu(const Gpu&) = delete;
  Gpu& operator=(const Gpu&) = delete;

  // Makes it the calling thread's device.
  void Use() const { Check(cudaSetDevice(index_), "choosing the device"); }
  int index() const { return index_; }
  int architecture() const { return architecture_; }  // 90 is sm_90
  int multiprocessors() const { return multiprocessors_; }
  cudaStream_t stream() const { return stream_->get(); }
  // Waits for the stream. Throws what its work failed with.
  void Synchronize() const { Check(cudaStreamSynchronize(stream()), "running a step"); }
  int64_t FreeBytes() const;

 private:
  int index_;
  int architecture_ = 0;
  int multiprocessors_ = 0;
  std::optional<Stream> stream_;
};

// Zeroed memory of the GPU. Throws Error(kInsufficientMemory) naming `purpose`.
std::unique_ptr<BackendMemory> AllocateOnDevice(const Gpu& gpu, int64_t bytes, const std::string& purpose);
// `memory` if it has so many bytes, or other memory, whose values are zero.
std::unique_ptr<BackendMemory> GrowOnDevice(const Gpu& gpu, std::unique_ptr<BackendMemory> memory,
                                            int64_t bytes, const std::string& purpose);
// Memory of the host that the GPU copies from and to while the host goes on.
std::unique_ptr<BackendMemory> AllocatePinned(const Gpu& gpu, int64_t bytes, const std::string& purpose);

}  // namespace kvasir::cuda

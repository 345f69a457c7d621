// One GPU as this room uses it: its stream, its memory, memory that it can read without a copy. It launches nothing.
// Every call may come from another thread than the one before; not from two at once.
#pragma once

#include <string>

#include "backend/backend.h"
#include "backend/cuda/launch.h"

namespace kvasir::cuda {

class Device {
 public:
  // Throws Error(kDeviceUnavailable).
  explicit Device(int index);
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  // Makes it the calling thread's device.
  void Use() const { Check(cudaSetDevice(index_), "choosing the device"); }
  int index() const { return index_; }
  int architecture() const { return architecture_; }  // 90 is sm_90
  int multiprocessors() const { return multiprocessors_; }
  cudaStream_t stream() const { return stream_; }
  // Waits for the stream. Throws what its work failed with.
  void Synchronize() const { Check(cudaStreamSynchronize(stream_), "running a step"); }
  int64_t FreeBytes() const;

 private:
  int index_;
  int architecture_ = 0;
  int multiprocessors_ = 0;
  cudaStream_t stream_ = nullptr;
};

// Zeroed memory of the GPU. Throws Error(kInsufficientMemory) naming `purpose`.
std::unique_ptr<BackendMemory> AllocateOnDevice(const Device& device, int64_t bytes,
                                                const std::string& purpose);
// Memory of the host that the GPU copies from and to while the host goes on.
std::unique_ptr<BackendMemory> AllocatePinned(const Device& device, int64_t bytes,
                                              const std::string& purpose);

}  // namespace kvasir::cuda

// The emulated device: its lock, errors, injected faults and memory. Every function of the runtime goes through Api().
// Refuses to run anything: that is stream_queue.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "control.h"
#include "runtime_api.h"

namespace cuda_emulation {

enum class Driver { kPresent, kNoDevice, kTooOld };

struct DeviceState {
  std::recursive_mutex lock;
  Driver driver = Driver::kPresent;
  Faults faults;  // counted down; 1 strikes
  bool lost = false;
  cudaError_t sticky = cudaSuccess;
  std::string sticky_text;
  std::vector<std::string> reports;
  uint64_t total_memory = uint64_t{8} << 30;
  uint64_t allocated = 0;
  uint64_t seed = 1;
  std::unordered_map<const void*, int> dynamic_shared_limits;  // by kernel
};
DeviceState& Device();

// Counts a call down; true when it is the one that fails.
bool Strikes(int64_t* countdown);
// Makes the context unusable, as a fault in a kernel does.
void FailDevice(cudaError_t error, const std::string& text);

// What every call of the runtime has: the lock, a lost device, a failed kernel, the thread's last error.
cudaError_t BeginApi();
cudaError_t EndApi(cudaError_t status);
template <typename Run>
cudaError_t Api(Run run) {
  const std::lock_guard<std::recursive_mutex> lock(Device().lock);
  const cudaError_t status = BeginApi();
  return EndApi(status == cudaSuccess ? run() : status);
}

// Of the architecture that kernels are compiled for.
constexpr int kMultiprocessors = 16;
size_t SharedMemoryPerBlock();  // the most that a kernel can opt into
size_t SharedMemoryPerMultiprocessor();

// ---- device_memory.cc ----

struct Allocation {
  uint8_t* begin;
  size_t bytes;
  uint8_t* mapping;
  size_t mapping_bytes;
  bool pinned;  // host memory
};
// nullptr when there is none.
void* Allocate(size_t bytes, bool pinned);
bool Release(void* p, bool pinned);
void ReleaseAll();
// The allocation that holds [p, p + bytes), or nullptr.
const Allocation* FindAllocation(const void* p, size_t bytes);
// Words about where an address lies, for reports.
std::string DescribeAddress(const void* p);
// Empty, or which allocation was written past its end.
std::string CheckMargins();

// Device memory can be touched while one of these lives, by kernels and copies; a host thread that reads it otherwise
// dies as it would with a GPU.
class DeviceMemoryAccess {
 public:
  DeviceMemoryAccess();
  ~DeviceMemoryAccess();
  DeviceMemoryAccess(const DeviceMemoryAccess&) = delete;
};

// ---- segv_handler.cc ----

// A kernel that touches memory it may not ends its launch instead of the process.
void CatchKernelFaults();

}  // namespace cuda_emulation

// Launches: what the runtime refuses at once, what a kernel is watched for while it runs, and what a function may use.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <sstream>
#include <string>

#include "block_state.h"
#include "device_state.h"
#include "launch_kernel.h"
#include "stream_queue.h"

namespace cuda_emulation {
namespace {

constexpr size_t kDefaultDynamicShared = 48 << 10;

cudaError_t CheckConfiguration(const LaunchRequest& request) {
  const dim3& grid = request.grid;
  const dim3& threads = request.block;
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535) {
    return cudaErrorInvalidConfiguration;
  }
  if (threads.x == 0 || threads.y == 0 || threads.z == 0 || threads.x > 1024 || threads.y > 1024 ||
      threads.z > 64 || threads.x * threads.y * threads.z > kMaxThreads) {
    return cudaErrorInvalidConfiguration;
  }
  const auto limit = Device().dynamic_shared_limits.find(request.kernel);
  const size_t allowed = limit == Device().dynamic_shared_limits.end() ? kDefaultDynamicShared
                                                                       : static_cast<size_t>(limit->second);
  return request.shared_bytes <= allowed ? cudaSuccess : cudaErrorInvalidValue;
}

// Arguments may point to device or pinned memory only, which nothing else here would notice.
std::string FindHostPointer(const LaunchRequest& request) {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  for (const uint64_t word : request.pointers) {
    if (word < page || word >= uint64_t{1} << 47) continue;
    void* const p = reinterpret_cast<void*>(word);
    unsigned char resident = 0;
    if (FindAllocation(p, 0) != nullptr) continue;
    if (mincore(reinterpret_cast<void*>(word & ~(page - 1)), 1, &resident) != 0) continue;
    const std::string where = DescribeAddress(p);
    // One past an end, or freed: using it is what counts.
    if (where.find("not device memory") == std::string::npos) continue;
    std::ostringstream text;
    text << "its argument " << p << " is in host memory";
    return text.str();
  }
  return "";
}

void RunKernel(const LaunchRequest& request) {
  if (Strikes(&Device().faults.launch)) {
    return FailDevice(cudaErrorLaunchFailure,
                      std::string("kernel ") + request.name + ": failed as was asked for");
  }
  std::string report = FindHostPointer(request);
  if (report.empty()) {
    report = RunGrid({request.name, request.grid, request.block, request.shared_bytes, request.invoke,
                      request.arguments.get()});
    if (report.empty()) report = CheckMargins();
  }
  if (report.empty()) return;
  if (report.rfind("kernel ", 0) != 0) report = std::string("kernel ") + request.name + ": " + report;
  Device().reports.push_back(report);
  FailDevice(cudaErrorLaunchFailure, report);
}

}  // namespace

cudaError_t QueueLaunch(const LaunchRequest& request) {
  return Api([&] {
    const cudaError_t status = CheckConfiguration(request);
    if (status != cudaSuccess) return status;
    return Enqueue(request.stream, [request] { RunKernel(request); });
  });
}

cudaError_t SetFunctionAttribute(const void* function, cudaFuncAttribute attribute, int value) {
  return Api([&] {
    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;
    if (value < 0 || static_cast<size_t>(value) > SharedMemoryPerBlock()) return cudaErrorInvalidValue;
    Device().dynamic_shared_limits[function] = value;
    return cudaSuccess;
  });
}

cudaError_t GetFunctionAttributes(cudaFuncAttributes* attributes, const void* function) {
  return Api([&] {
    const auto limit = Device().dynamic_shared_limits.find(function);
    *attributes = {};
    attributes->maxThreadsPerBlock = kMaxThreads;
    attributes->numRegs = 32;
    attributes->ptxVersion = attributes->binaryVersion = KVASIR_CUDA_ARCH / 10;
    attributes->maxDynamicSharedSizeBytes = limit == Device().dynamic_shared_limits.end()
                                                ? static_cast<int>(kDefaultDynamicShared)
                                                : limit->second;
    return cudaSuccess;
  });
}

cudaError_t Occupancy(int* blocks, int block_threads, size_t shared_bytes) {
  return Api([&] {
    if (block_threads <= 0 || block_threads > kMaxThreads) return cudaErrorInvalidValue;
    const int by_threads = (KVASIR_CUDA_ARCH < 800 ? 1024 : 2048) / block_threads;
    const int by_shared = static_cast<int>(SharedMemoryPerMultiprocessor() / (shared_bytes + 1024));
    *blocks = std::min({by_threads, by_shared, 32});
    return cudaSuccess;
  });
}

}  // namespace cuda_emulation

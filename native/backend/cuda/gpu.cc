#include "backend/cuda/gpu.h"

namespace kvasir::cuda {

namespace {

// Statuses of the free functions are of no use: after a device is lost all of them fail.
class DeviceMemory final : public BackendMemory {
 public:
  using BackendMemory::BackendMemory;
  ~DeviceMemory() override { static_cast<void>(cudaFree(data())); }
};

class PinnedMemory final : public BackendMemory {
 public:
  using BackendMemory::BackendMemory;
  ~PinnedMemory() override { static_cast<void>(cudaFreeHost(data())); }
};

[[noreturn]] void ThrowRefused(cudaError_t status, const char* whose, int64_t bytes, int64_t free,
                               const std::string& purpose) {
  static_cast<void>(cudaGetLastError());  // a refusal is no lasting error
  if (status != cudaErrorMemoryAllocation) Check(status, "allocating memory");
  throw Error(ErrorCode::kInsufficientMemory,
              std::string(whose) + " refused " + std::to_string(bytes) + " bytes for " + purpose +
                  (free >= 0 ? " (" + std::to_string(free) + " are free)" : "") +
                  "; use fewer gpuLayers, a shorter contextLength, a smaller model or device 'cpu'");
}

}  // namespace

Gpu::Gpu(int index) : index_(index) {
  Use();
  int major = 0, minor = 0;
  Check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, index),
        "asking for the architecture");
  Check(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, index),
        "asking for the architecture");
  Check(cudaDeviceGetAttribute(&multiprocessors_, cudaDevAttrMultiProcessorCount, index),
        "asking for the multiprocessors");
  architecture_ = 10 * major + minor;
  stream_.emplace();
}

int64_t Gpu::FreeBytes() const {
  Use();
  size_t free = 0, total = 0;
  Check(cudaMemGetInfo(&free, &total), "asking for free memory");
  return static_cast<int64_t>(free);
}

std::unique_ptr<BackendMemory> AllocateOnDevice(const Gpu& gpu, int64_t bytes, const std::string& purpose) {
  gpu.Use();
  const auto size = static_cast<size_t>(bytes);
  if (bytes == 0) return std::make_unique<BackendMemory>(nullptr, size);
  void* data = nullptr;
  const cudaError_t status = cudaMalloc(&data, size);
  if (status != cudaSuccess) {
    size_t free = 0, total = 0;
    const bool known = cudaMemGetInfo(&free, &total) == cudaSuccess;
    ThrowRefused(status, "The GPU", bytes, known ? static_cast<int64_t>(free) : -1, purpose);
  }
  auto memory = std::make_unique<DeviceMemory>(static_cast<uint8_t*>(data), size);
  Check(cudaMemsetAsync(data, 0, size, gpu.stream()), "clearing memory");
  return memory;
}

std::unique_ptr<BackendMemory> AllocatePinned(const Gpu& gpu, int64_t bytes, const std::string& purpose) {
  gpu.Use();
  void* data = nullptr;
  const cudaError_t status = cudaHostAlloc(&data, static_cast<size_t>(bytes), cudaHostAllocDefault);
  if (status != cudaSuccess) ThrowRefused(status, "The system", bytes, -1, purpose);
  return std::make_unique<PinnedMemory>(static_cast<uint8_t*>(data), static_cast<size_t>(bytes));
}

std::unique_ptr<BackendMemory> GrowOnDevice(const Gpu& gpu, std::unique_ptr<BackendMemory> memory,
                                            int64_t bytes, const std::string& purpose) {
  if (memory != nullptr && static_cast<int64_t>(memory->size()) >= bytes) return memory;
  memory.reset();
  return AllocateOnDevice(gpu, bytes, purpose);
}

}  // namespace kvasir::cuda

// Memory calls and copies. A copy from pageable host memory takes its bytes when it is called, one from pinned memory
// when it runs; one to pageable memory is done when the call returns.
#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "device_state.h"
#include "stream_queue.h"

namespace cuda_emulation {
namespace {

cudaError_t AllocateDevice(void** p, size_t bytes) {
  if (p == nullptr) return cudaErrorInvalidValue;
  const cudaError_t status = CheckNoCapture();
  if (status != cudaSuccess) return status;
  *p = nullptr;
  if (bytes == 0) return cudaSuccess;
  const DeviceState& device = Device();
  if (Strikes(&Device().faults.allocation)) return cudaErrorMemoryAllocation;
  if (device.allocated > device.total_memory || bytes > device.total_memory - device.allocated) {
    return cudaErrorMemoryAllocation;
  }
  *p = Allocate(bytes, false);
  return *p == nullptr ? cudaErrorMemoryAllocation : cudaSuccess;
}

cudaError_t AllocatePinned(void** p, size_t bytes) {
  if (p == nullptr) return cudaErrorInvalidValue;
  *p = nullptr;
  if (bytes == 0) return cudaSuccess;
  if (Strikes(&Device().faults.allocation)) return cudaErrorMemoryAllocation;
  *p = Allocate(bytes, true);
  return *p == nullptr ? cudaErrorMemoryAllocation : cudaSuccess;
}

cudaError_t ReleaseMemory(void* p, bool pinned) {
  if (p == nullptr) return cudaSuccess;
  const cudaError_t status = CheckNoCapture();
  if (status != cudaSuccess) return status;
  RunEverything();
  return Release(p, pinned) ? Device().sticky : cudaErrorInvalidValue;
}

enum class Place { kHost, kPinned, kDevice, kBad };

Place PlaceOf(const void* p, size_t bytes) {
  const Allocation* allocation = FindAllocation(p, bytes);
  if (allocation != nullptr) return allocation->pinned ? Place::kPinned : Place::kDevice;
  // It begins in an allocation and runs past its end.
  return FindAllocation(p, 1) != nullptr ? Place::kBad : Place::kHost;
}

struct Copy {
  uint8_t* to;
  size_t to_pitch;
  const uint8_t* from;
  size_t from_pitch;
  size_t width;
  size_t height;
};

size_t Span(size_t pitch, const Copy& copy) { return (copy.height - 1) * pitch + copy.width; }

void Run(const Copy& copy) {
  for (size_t row = 0; row < copy.height; ++row) {
    std::memmove(copy.to + row * copy.to_pitch, copy.from + row * copy.from_pitch, copy.width);
  }
}

bool IsDevice(Place place) { return place == Place::kDevice; }

cudaError_t CheckDirection(cudaMemcpyKind kind, Place to, Place from) {
  if (to == Place::kBad || from == Place::kBad) return cudaErrorInvalidValue;
  if (kind == cudaMemcpyDefault) return cudaSuccess;
  const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  return to_device == IsDevice(to) && from_device == IsDevice(from) ? cudaSuccess : cudaErrorInvalidValue;
}

cudaError_t QueueCopy(const Copy& copy, cudaMemcpyKind kind, cudaStream_t stream) {
  if (copy.width == 0 || copy.height == 0) return cudaSuccess;
  const Place to = PlaceOf(copy.to, Span(copy.to_pitch, copy));
  const Place from = PlaceOf(copy.from, Span(copy.from_pitch, copy));
  const cudaError_t status = CheckDirection(kind, to, from);
  if (status != cudaSuccess) return status;
  if (IsCapturing(stream)) return Enqueue(stream, [copy] { Run(copy); });
  if (from == Place::kHost && IsDevice(to)) {
    auto bytes = std::make_shared<std::vector<uint8_t>>(copy.width * copy.height);
    Run({bytes->data(), copy.width, copy.from, copy.from_pitch, copy.width, copy.height});
    return Enqueue(stream, [copy, bytes] {
      Run({copy.to, copy.to_pitch, bytes->data(), copy.width, copy.width, copy.height});
    });
  }
  WorkPtr work;
  const cudaError_t queued = Enqueue(
      stream, [copy] { Run(copy); }, &work);
  if (queued != cudaSuccess || to != Place::kHost) return queued;
  RunUntil(work);
  return Device().sticky;
}

cudaError_t CopyNow(const Copy& copy, cudaMemcpyKind kind) {
  cudaError_t status = CheckNoCapture();
  if (status == cudaSuccess) status = QueueCopy(copy, kind, nullptr);
  // Between places on the device even this returns before it is done.
  if (status != cudaSuccess || kind == cudaMemcpyDeviceToDevice) return status;
  RunStream(FindStream(nullptr));
  return Device().sticky;
}

cudaError_t QueueFill(void* to, int value, size_t bytes, cudaStream_t stream) {
  if (bytes == 0) return cudaSuccess;
  const Place place = PlaceOf(to, bytes);
  if (place != Place::kDevice && place != Place::kPinned) return cudaErrorInvalidValue;
  return Enqueue(stream, [=] { std::memset(to, value, bytes); });
}

Copy Flat(void* to, const void* from, size_t bytes) {
  return {static_cast<uint8_t*>(to), bytes, static_cast<const uint8_t*>(from), bytes, bytes, 1};
}

}  // namespace
}  // namespace cuda_emulation

using cuda_emulation::Api;
using cuda_emulation::Device;

cudaError_t cudaMalloc(void** p, size_t bytes) {
  return Api([&] { return cuda_emulation::AllocateDevice(p, bytes); });
}

cudaError_t cudaHostAlloc(void** p, size_t bytes, unsigned) {
  return Api([&] { return cuda_emulation::AllocatePinned(p, bytes); });
}

cudaError_t cudaMallocHost(void** p, size_t bytes) { return cudaHostAlloc(p, bytes, cudaHostAllocDefault); }

cudaError_t cudaFree(void* p) {
  const cudaError_t status = Api([&] { return cuda_emulation::ReleaseMemory(p, false); });
  // What a failed device held is gone with it.
  const std::lock_guard<std::recursive_mutex> lock(Device().lock);
  if (Device().lost || Device().sticky != cudaSuccess) cuda_emulation::Release(p, false);
  return status;
}

cudaError_t cudaFreeHost(void* p) {
  const cudaError_t status = Api([&] { return cuda_emulation::ReleaseMemory(p, true); });
  const std::lock_guard<std::recursive_mutex> lock(Device().lock);
  if (Device().lost || Device().sticky != cudaSuccess) cuda_emulation::Release(p, true);
  return status;
}

cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  return Api([&] {
    *total = Device().total_memory;
    *free = *total - std::min<size_t>(*total, Device().allocated);
    return cudaSuccess;
  });
}

cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  return Api([&] { return cuda_emulation::CopyNow(cuda_emulation::Flat(to, from, bytes), kind); });
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  return Api([&] { return cuda_emulation::QueueCopy(cuda_emulation::Flat(to, from, bytes), kind, stream); });
}

cudaError_t cudaMemcpy2DAsync(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width,
                              size_t height, cudaMemcpyKind kind, cudaStream_t stream) {
  return Api([&] {
    if (width > to_pitch || width > from_pitch) return cudaErrorInvalidValue;
    return cuda_emulation::QueueCopy(
        {static_cast<uint8_t*>(to), to_pitch, static_cast<const uint8_t*>(from), from_pitch, width, height},
        kind, stream);
  });
}

cudaError_t cudaMemset(void* to, int value, size_t bytes) {
  return Api([&] {
    const cudaError_t status = cuda_emulation::CheckNoCapture();
    return status == cudaSuccess ? cuda_emulation::QueueFill(to, value, bytes, nullptr) : status;
  });
}

cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) {
  return Api([&] { return cuda_emulation::QueueFill(to, value, bytes, stream); });
}

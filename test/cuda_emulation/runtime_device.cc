// Devices, errors and faults.
#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>

#include "block_state.h"
#include "device_state.h"
#include "random_order.h"
#include "stream_queue.h"

namespace cuda_emulation {
namespace {

constexpr int kRuntimeVersion = 13000;
constexpr int kOldDriver = 11000;

thread_local cudaError_t last_error = cudaSuccess;

int64_t NumberAfter(const std::string& text, const std::string& name) {
  return text.rfind(name, 0) == 0 ? std::atoll(text.c_str() + name.size()) : 0;
}

void ReadSeed(DeviceState* device) {
  const char* seed = std::getenv("KVASIR_EMULATION_SEED");
  if (seed == nullptr) return;
  device->seed = std::strtoull(seed, nullptr, 10);
  random_order.Seed(device->seed);
}

void ReadEnvironment(DeviceState* device) {
  if (const char* bytes = std::getenv("KVASIR_EMULATION_MEMORY")) {
    device->total_memory = std::strtoull(bytes, nullptr, 10);
  }
  const char* fault = std::getenv("KVASIR_EMULATION_FAULT");
  const std::string text = fault == nullptr ? "" : fault;
  device->faults = {NumberAfter(text, "alloc:"), NumberAfter(text, "launch:"), NumberAfter(text, "lost:")};
  device->driver = text == "device:none"         ? Driver::kNoDevice
                   : text == "device:old-driver" ? Driver::kTooOld
                                                 : Driver::kPresent;
}

}  // namespace

DeviceState& Device() {
  // Never destroyed: threads may still call while the process ends.
  static DeviceState& device = *[] {
    auto* state = new DeviceState;
    random_order.Seed(state->seed);
    ReadEnvironment(state);
    CatchKernelFaults();
    return state;
  }();
  return device;
}

bool Strikes(int64_t* countdown) { return *countdown > 0 && --*countdown == 0; }

void FailDevice(cudaError_t error, const std::string& text) {
  Device().sticky = error;
  Device().sticky_text = text;
}

cudaError_t BeginApi() {
  DeviceState& device = Device();
  if (device.driver == Driver::kNoDevice) return cudaErrorNoDevice;
  if (device.driver == Driver::kTooOld) return cudaErrorInsufficientDriver;
  if (Strikes(&device.faults.lost)) device.lost = true;
  if (device.lost) return cudaErrorDevicesUnavailable;
  MakeProgress();
  return device.sticky;
}

cudaError_t EndApi(cudaError_t status) {
  if (status != cudaSuccess && status != cudaErrorNotReady) last_error = status;
  return status;
}

size_t SharedMemoryPerBlock() {
  constexpr int kArch = KVASIR_CUDA_ARCH;
  const size_t kib = kArch < 800 ? 64 : kArch == 800 ? 163 : kArch < 900 ? 99 : kArch < 1200 ? 227 : 99;
  return kib << 10;
}

size_t SharedMemoryPerMultiprocessor() {
  return SharedMemoryPerBlock() + (KVASIR_CUDA_ARCH < 800 ? 0 : 1024);
}

void SetSeed(uint64_t seed) {
  const std::lock_guard<std::recursive_mutex> lock(Device().lock);
  Device().seed = seed;
  random_order.Seed(seed);
}

std::vector<std::string> TakeReports() {
  const std::lock_guard<std::recursive_mutex> lock(Device().lock);
  return std::exchange(Device().reports, {});
}

void InjectFaults(const Faults& faults) {
  const std::lock_guard<std::recursive_mutex> lock(Device().lock);
  Device().faults = faults;
}

void SetDeviceMemory(uint64_t bytes) {
  const std::lock_guard<std::recursive_mutex> lock(Device().lock);
  Device().total_memory = bytes;
}

uint64_t AllocatedDeviceMemory() {
  const std::lock_guard<std::recursive_mutex> lock(Device().lock);
  return Device().allocated;
}

void ResetDevice() {
  DeviceState& device = Device();
  const std::lock_guard<std::recursive_mutex> lock(device.lock);
  DropStreams();
  ReleaseAll();
  device.lost = false;
  device.sticky = cudaSuccess;
  device.sticky_text.clear();
  device.reports.clear();
  device.dynamic_shared_limits.clear();
  device.total_memory = DeviceState().total_memory;
  last_error = cudaSuccess;
  ReadEnvironment(&device);
}

}  // namespace cuda_emulation

using cuda_emulation::Api;
using cuda_emulation::Device;
using cuda_emulation::Driver;

namespace {

struct ErrorText {
  cudaError_t error;
  const char* name;
  const char* text;
};
constexpr ErrorText kErrors[] = {
    {cudaSuccess, "cudaSuccess", "no error"},
    {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    {cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    {cudaErrorInitializationError, "cudaErrorInitializationError", "initialization error"},
    {cudaErrorInvalidConfiguration, "cudaErrorInvalidConfiguration", "invalid configuration argument"},
    {cudaErrorInvalidMemcpyDirection, "cudaErrorInvalidMemcpyDirection", "invalid copy direction for memcpy"},
    {cudaErrorInsufficientDriver, "cudaErrorInsufficientDriver",
     "CUDA driver version is insufficient for CUDA runtime version"},
    {cudaErrorDevicesUnavailable, "cudaErrorDevicesUnavailable",
     "CUDA-capable device(s) is/are busy or unavailable"},
    {cudaErrorInvalidDeviceFunction, "cudaErrorInvalidDeviceFunction", "invalid device function"},
    {cudaErrorNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
    {cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
    {cudaErrorNoKernelImageForDevice, "cudaErrorNoKernelImageForDevice",
     "no kernel image is available for execution on the device"},
    {cudaErrorInvalidResourceHandle, "cudaErrorInvalidResourceHandle", "invalid resource handle"},
    {cudaErrorNotReady, "cudaErrorNotReady", "device not ready"},
    {cudaErrorIllegalAddress, "cudaErrorIllegalAddress", "an illegal memory access was encountered"},
    {cudaErrorLaunchFailure, "cudaErrorLaunchFailure", "unspecified launch failure"},
    {cudaErrorNotSupported, "cudaErrorNotSupported", "operation not supported"},
    {cudaErrorStreamCaptureUnsupported, "cudaErrorStreamCaptureUnsupported",
     "operation not permitted when stream is capturing"},
    {cudaErrorStreamCaptureInvalidated, "cudaErrorStreamCaptureInvalidated",
     "operation failed due to a previous error during capture"},
    {cudaErrorStreamCaptureUnjoined, "cudaErrorStreamCaptureUnjoined", "capturing stream has unjoined work"},
    {cudaErrorStreamCaptureIsolation, "cudaErrorStreamCaptureIsolation",
     "dependency created on uncaptured work in another stream"},
    {cudaErrorStreamCaptureImplicit, "cudaErrorStreamCaptureImplicit",
     "operation would make the legacy stream depend on a capturing blocking stream"},
};

const ErrorText* FindError(cudaError_t error) {
  for (const ErrorText& entry : kErrors) {
    if (entry.error == error) return &entry;
  }
  return nullptr;
}

cudaError_t CheckDevice(int device) { return device == 0 ? cudaSuccess : cudaErrorInvalidDevice; }

cudaDeviceProp Properties() {
  cudaDeviceProp p{};
  std::snprintf(p.name, sizeof(p.name), "CUDA emulation (sm_%d)", KVASIR_CUDA_ARCH / 10);
  p.totalGlobalMem = Device().total_memory;
  p.sharedMemPerBlock = 48 << 10;
  p.sharedMemPerBlockOptin = cuda_emulation::SharedMemoryPerBlock();
  p.sharedMemPerMultiprocessor = cuda_emulation::SharedMemoryPerMultiprocessor();
  p.regsPerBlock = 65536;
  p.warpSize = 32;
  p.maxThreadsPerBlock = cuda_emulation::kMaxThreads;
  p.maxThreadsPerMultiProcessor = KVASIR_CUDA_ARCH < 800 ? 1024 : 2048;
  p.multiProcessorCount = cuda_emulation::kMultiprocessors;
  p.major = KVASIR_CUDA_ARCH / 100;
  p.minor = KVASIR_CUDA_ARCH % 100 / 10;
  p.memoryBusWidth = 256;
  p.l2CacheSize = 4 << 20;
  p.asyncEngineCount = 2;
  p.concurrentKernels = 1;
  return p;
}

}  // namespace

const char* cudaGetErrorName(cudaError_t error) {
  const ErrorText* entry = FindError(error);
  return entry == nullptr ? "unrecognized error code" : entry->name;
}

const char* cudaGetErrorString(cudaError_t error) {
  const std::lock_guard<std::recursive_mutex> lock(Device().lock);
  const ErrorText* entry = FindError(error);
  if (entry == nullptr) return "unrecognized error code";
  if (error != Device().sticky || Device().sticky_text.empty()) return entry->text;
  static thread_local std::string text;
  text = std::string(entry->text) + " (" + Device().sticky_text + ")";
  return text.c_str();
}

cudaError_t cudaGetLastError() { return std::exchange(cuda_emulation::last_error, Device().sticky); }
cudaError_t cudaPeekAtLastError() { return cuda_emulation::last_error; }

cudaError_t cudaDriverGetVersion(int* version) {
  const Driver driver = Device().driver;
  *version = driver == Driver::kNoDevice ? 0
             : driver == Driver::kTooOld ? cuda_emulation::kOldDriver
                                         : cuda_emulation::kRuntimeVersion;
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = cuda_emulation::kRuntimeVersion;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 0;
  return Api([&] {
    // Each load of a model asks: tests go through the orders in one process.
    cuda_emulation::ReadSeed(&Device());
    *count = 1;
    return cudaSuccess;
  });
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  return Api([&] {
    *properties = Properties();
    return CheckDevice(device);
  });
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  return Api([&] {
    const cudaDeviceProp p = Properties();
    switch (attribute) {
      case cudaDevAttrMaxThreadsPerBlock: *value = p.maxThreadsPerBlock; break;
      case cudaDevAttrMaxSharedMemoryPerBlock: *value = static_cast<int>(p.sharedMemPerBlock); break;
      case cudaDevAttrWarpSize: *value = p.warpSize; break;
      case cudaDevAttrClockRate:
      case cudaDevAttrMemoryClockRate:
        *value = 1000000;  // kHz
        break;
      case cudaDevAttrMultiProcessorCount: *value = p.multiProcessorCount; break;
      case cudaDevAttrGlobalMemoryBusWidth: *value = p.memoryBusWidth; break;
      case cudaDevAttrL2CacheSize: *value = p.l2CacheSize; break;
      case cudaDevAttrComputeCapabilityMajor: *value = p.major; break;
      case cudaDevAttrComputeCapabilityMinor: *value = p.minor; break;
      case cudaDevAttrMaxSharedMemoryPerBlockOptin:
        *value = static_cast<int>(p.sharedMemPerBlockOptin);
        break;
      default: return cudaErrorInvalidValue;
    }
    return CheckDevice(device);
  });
}

cudaError_t cudaSetDevice(int device) {
  return Api([&] { return CheckDevice(device); });
}

cudaError_t cudaGetDevice(int* device) {
  return Api([&] {
    *device = 0;
    return cudaSuccess;
  });
}

cudaError_t cudaDeviceSynchronize() {
  return Api([] {
    const cudaError_t status = cuda_emulation::CheckNoCapture();
    if (status != cudaSuccess) return status;
    cuda_emulation::RunEverything();
    return Device().sticky;
  });
}

cudaError_t cudaDeviceReset() {
  const std::lock_guard<std::recursive_mutex> lock(Device().lock);
  if (Device().lost) return cuda_emulation::EndApi(cudaErrorDevicesUnavailable);
  cuda_emulation::DropStreams();
  cuda_emulation::ReleaseAll();
  Device().sticky = cudaSuccess;
  Device().sticky_text.clear();
  cuda_emulation::last_error = cudaSuccess;
  return cudaSuccess;
}

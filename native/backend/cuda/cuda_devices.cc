#include "backend/cuda/cuda_devices.h"

#include <cstdio>
#include <cstdlib>

#include "backend/cuda/cuda_platform.h"

// The build says what it compiled for, such as "75 80 120 120+PTX".
#if !defined(KVASIR_CUDA_TARGETS)
#error "KVASIR_CUDA_TARGETS is not defined: scripts/cuda-build.mjs does"
#endif

namespace kvasir::cuda {

namespace {

int Status(cudaError_t status, const char** error) {
  if (status == cudaSuccess) return 0;
  *error = cudaGetErrorString(status);
  cudaGetLastError();  // or the next call would report it again
  return static_cast<int>(status);
}

// Machine code runs on devices of the same major and the same or a later minor version, PTX on every later one.
bool HasCodeFor(int major, int minor) {
  for (const char* at = KVASIR_CUDA_TARGETS; *at != '\0';) {
    char* end = nullptr;
    const int target = static_cast<int>(std::strtol(at, &end, 10));
    if (end == at) return false;
    const bool is_ptx = *end == '+';
    if (is_ptx && target <= major * 10 + minor) return true;
    if (!is_ptx && target / 10 == major && target % 10 <= minor) return true;
    while (*end != '\0' && *end != ' ') ++end;
    while (*end == ' ') ++end;
    at = end;
  }
  return false;
}

int DriverVersion(int32_t* version) {
  int value = 0;
  const cudaError_t status = cudaDriverGetVersion(&value);
  *version = value;
  return static_cast<int>(status);
}

int CountDevices(int32_t* count, const char** error) {
  int value = 0;
  const int status = Status(cudaGetDeviceCount(&value), error);
  *count = status == 0 ? value : 0;
  return status;
}

int64_t Attribute(cudaDeviceAttr attribute, int device) {
  int value = 0;
  if (cudaDeviceGetAttribute(&value, attribute, device) == cudaSuccess) return value;
  cudaGetLastError();
  return 0;
}

int DescribeDevice(int32_t device, CudaDeviceRecord* record, const char** error) {
  cudaDeviceProp properties;
  const int status = Status(cudaGetDeviceProperties(&properties, device), error);
  if (status != 0) return status;
  *record = {};
  std::snprintf(record->name, sizeof(record->name), "%s", properties.name);
  record->major = properties.major;
  record->minor = properties.minor;
  record->multiprocessors = properties.multiProcessorCount;
  record->runnable = HasCodeFor(properties.major, properties.minor) ? 1 : 0;
  record->total_bytes = static_cast<int64_t>(properties.totalGlobalMem);
  // Clocks come in kHz, the width in bits; memory moves data twice a cycle.
  record->bandwidth = 2 * 1000 * Attribute(cudaDevAttrMemoryClockRate, device) *
                      (Attribute(cudaDevAttrGlobalMemoryBusWidth, device) / 8);
  record->clock = 1000 * Attribute(cudaDevAttrClockRate, device);
  return 0;
}

int FreeMemory(int32_t device, int64_t* bytes, const char** error) {
  int before = 0;
  int status = Status(cudaGetDevice(&before), error);
  if (status == 0) status = Status(cudaSetDevice(device), error);
  size_t free = 0;
  size_t total = 0;
  if (status == 0) status = Status(cudaMemGetInfo(&free, &total), error);
  *bytes = static_cast<int64_t>(free);
  cudaSetDevice(before);
  return status;
}

}  // namespace

CudaLibrary DeviceFunctions() {
  CudaLibrary library = {};
  library.interface = KVASIR_CUDA_INTERFACE;
  library.targets = KVASIR_CUDA_TARGETS;
  int version = 0;
  if (cudaRuntimeGetVersion(&version) == cudaSuccess) library.runtime_version = version;
  library.driver_version = DriverVersion;
  library.count_devices = CountDevices;
  library.describe_device = DescribeDevice;
  library.free_memory = FreeMemory;
  return library;
}

}  // namespace kvasir::cuda

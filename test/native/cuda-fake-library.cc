// A CUDA library without CUDA, for test/native/cuda-device.test.ts: it says of driver and devices what FAKE_CUDA_* variables
// tell it, each time it is asked. No backend can be made: that throws what the addon must be able to catch.
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "backend/cuda_library.h"
#include "core/error.h"

namespace {

int Number(const char* name, int otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr ? otherwise : std::atoi(value);
}

int DriverVersion(int32_t* version) {
  *version = Number("FAKE_CUDA_DRIVER", 13000);
  return 0;
}

int CountDevices(int32_t* count, const char** error) {
  *count = Number("FAKE_CUDA_DEVICES", 2);
  *error = "the fake's error";
  return Number("FAKE_CUDA_STATUS", 0);
}

// Device 0 is of FAKE_CUDA_ARCH, device 1 of sm_90.
int DescribeDevice(int32_t device, kvasir::CudaDeviceRecord* record, const char** error) {
  *error = "no such device";
  const int arch = device == 0 ? Number("FAKE_CUDA_ARCH", 90) : 90;
  std::snprintf(record->name, sizeof(record->name), "Fake GPU %d", device);
  record->major = arch / 10;
  record->minor = arch % 10;
  record->multiprocessors = 132;
  record->runnable = arch == 90;
  record->total_bytes = int64_t{80} << 30;
  record->bandwidth = 3'350'000'000'000;
  record->clock = 0;
  return Number("FAKE_CUDA_DESCRIBE", 0);
}

int FreeMemory(int32_t, int64_t* bytes, const char** error) {
  *bytes = int64_t{79} << 30;
  *error = "all of it is taken";
  return Number("FAKE_CUDA_FREE", 0);
}

kvasir::Backend* MakeBackend(const kvasir::CudaBackendOptions& options) {
  throw kvasir::Error(kvasir::ErrorCode::kInsufficientMemory,
                      "the fake has no backend for device " + std::to_string(options.device));
}

}  // namespace

extern "C" __attribute__((visibility("default"))) const kvasir::CudaLibrary* kvasir_cuda_v1() {
  static const kvasir::CudaLibrary library = {
      KVASIR_CUDA_INTERFACE, "90",           13000,      DriverVersion,
      CountDevices,          DescribeDevice, FreeMemory, MakeBackend};
  return &library;
}

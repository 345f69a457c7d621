// What tests of kernels steer in the emulation (test/cuda_emulation/control.h), where a real device runs them instead:
// native_tests_gpu, which scripts/gpu-check.mjs builds. A device has one order of threads, and no faults can be asked for,
// so tests that need those are not compiled for it.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <string>
#include <vector>

namespace cuda_emulation {

inline void SetSeed(uint64_t) {}

// What the device says after all its work.
inline std::vector<std::string> TakeReports() {
  const cudaError_t status = cudaDeviceSynchronize();
  const cudaError_t last = cudaGetLastError();
  if (status != cudaSuccess) return {cudaGetErrorString(status)};
  if (last != cudaSuccess) return {cudaGetErrorString(last)};
  return {};
}

inline void ResetDevice() {
  static_cast<void>(cudaDeviceSynchronize());
  static_cast<void>(cudaGetLastError());
}

}  // namespace cuda_emulation

// The one way to launch a kernel. A launch that the runtime refuses throws; what a kernel does wrong while it runs shows
// at the next synchronisation (gpu.h).
#pragma once

#include "backend/cuda/cuda_platform.h"
#include "core/error.h"

namespace kvasir::cuda {

struct LaunchConfig {
  dim3 grid;
  dim3 block;
  size_t shared_bytes = 0;
  cudaStream_t stream = nullptr;
};

// Throws the Error that stands for a CUDA status other than success: kInsufficientMemory for cudaErrorMemoryAllocation,
// kDeviceUnavailable for everything else. `what` was being done.
void Check(cudaError_t status, const char* what);

}  // namespace kvasir::cuda

#if defined(KVASIR_CUDA_EMULATION)

// EmulateLaunch copies the arguments and queues the kernel on the stream.
#define KVASIR_LAUNCH(kernel, config, ...)                                                             \
  ::kvasir::cuda::Check(::cuda_emulation::Launch(#kernel, kernel, (config).grid, (config).block,       \
                                                 (config).shared_bytes, (config).stream, __VA_ARGS__), \
                        #kernel)

#elif defined(__CUDACC__)

#define KVASIR_LAUNCH(kernel, config, ...)                                                          \
  do {                                                                                              \
    kernel<<<(config).grid, (config).block, (config).shared_bytes, (config).stream>>>(__VA_ARGS__); \
    ::kvasir::cuda::Check(cudaPeekAtLastError(), #kernel);                                          \
  } while (false)

#endif

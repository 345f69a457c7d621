// What the library exports.
#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/cuda_devices.h"

extern "C" [[gnu::visibility("default")]] const kvasir::CudaLibrary* kvasir_cuda_v1() {
  static const kvasir::CudaLibrary library = [] {
    kvasir::CudaLibrary table = kvasir::cuda::DeviceFunctions();
    table.make_backend = [](const kvasir::CudaBackendOptions& options) -> kvasir::Backend* {
      return new kvasir::cuda::CudaBackend(options);
    };
    return table;
  }();
  return &library;
}

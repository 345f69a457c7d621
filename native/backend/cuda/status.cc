#include <string>

#include "backend/cuda/launch.h"

namespace kvasir::cuda {

void Check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  const ErrorCode code =
      status == cudaErrorMemoryAllocation ? ErrorCode::kInsufficientMemory : ErrorCode::kDeviceUnavailable;
  throw Error(code, std::string("The GPU failed at ") + what + ": " + cudaGetErrorString(status));
}

}  // namespace kvasir::cuda

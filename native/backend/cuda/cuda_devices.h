// What the CUDA runtime says of driver and devices, for the table that the library hands to the addon
// (backend/cuda_library.h). It decides nothing and words nothing: the addon's side does.
#pragma once

#include "backend/cuda_library.h"

namespace kvasir::cuda {

// All of the table but make_backend, which is nullptr.
CudaLibrary DeviceFunctions();

}  // namespace kvasir::cuda

// Launches of one thread an item, whatever the shape: element-wise work on rows.
#pragma once

#include <algorithm>
#include <cstdint>

#include "backend/cuda/kernels.h"
#include "backend/cuda/launch.h"

namespace kvasir::cuda {

constexpr int kFlatThreads = 256;
constexpr int64_t kMaxFlatBlocks = 1 << 20;  // a thread takes more than one element beyond that

// One thread an item.
inline LaunchConfig Flat(int64_t items, cudaStream_t stream) {
  const int64_t blocks = std::min(kMaxFlatBlocks, CeilDiv(items, kFlatThreads));
  return {.grid = dim3(static_cast<unsigned>(blocks)), .block = dim3(kFlatThreads), .stream = stream};
}

__device__ __forceinline__ int64_t FlatThread() {
  return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}
__device__ __forceinline__ int64_t FlatThreads() { return static_cast<int64_t>(gridDim.x) * blockDim.x; }

}  // namespace kvasir::cuda

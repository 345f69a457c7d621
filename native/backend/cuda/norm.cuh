// The statistics of a row's norm by one block, in the order of the CPU's sums (backend/cpu/ops_norms.h). All threads of the
// block call these together.
#pragma once

#include "backend/cuda/rotate.cuh"

namespace kvasir::cuda {

constexpr int kTile = 2048;  // values of a row that lie in shared memory at once, a multiple of 64

// Values [base, base + kTile) of a row of n into shared memory, `fill` up to the next multiple of 64. Returns how many
// multiples of 64 there are.
__device__ __forceinline__ int LoadTile(const float* x, int64_t base, int64_t n, float fill,
                                        SharedPtr<float> tile) {
  const int64_t left = n - base;
  const int count = left < kTile ? static_cast<int>(left) : kTile;
  const int padded = (count + kGroup - 1) / kGroup * kGroup;
  for (int i = static_cast<int>(threadIdx.x); i < padded; i += static_cast<int>(blockDim.x)) {
    tile[i] = i < count ? x[base + i] : fill;
  }
  return padded / kGroup;
}

// 1 / sqrt(mean(x^2) + eps). The CPU's 64 running sums (16 lanes of 4 vectors), each over values 64 apart, are two a
// lane of one warp: sums 2 l and 2 l + 1. Sum 16 j + i is lane i of vector j, so j changes with lane bits 3 and 4.
__device__ __forceinline__ float RmsScale(const float* x, int64_t n, float eps, SharedPtr<float> tile,
                                          SharedPtr<float> result) {
  const int lane = static_cast<int>(threadIdx.x);
  float a = 0, b = 0;
  for (int64_t base = 0; base < n; base += kTile) {
    if (base > 0) __syncthreads();  // the tile before this one is read
    const int groups = LoadTile(x, base, n, 0.0f, tile);
    __syncthreads();
    if (lane >= 32) continue;
    const SharedPtr<float2> pairs = SharedCast<float2>(tile);
#pragma unroll 4
    for (int g = 0; g < groups; ++g) {
      const float2 v = pairs[g * (kGroup / 2) + lane];
      a = __fmaf_rn(v.x, v.x, a);
      b = __fmaf_rn(v.y, v.y, b);
    }
  }
  if (lane < 32) {
    for (const int stride : {8, 16, 4, 2, 1}) {
      a = __fadd_rn(a, __shfl_xor_sync(kAllLanes, a, stride));
      b = __fadd_rn(b, __shfl_xor_sync(kAllLanes, b, stride));
    }
    const float mean = __fdiv_rn(__fadd_rn(a, b), static_cast<float>(n));
    if (lane == 0) result[0] = __fdiv_rn(1.0f, __fsqrt_rn(__fadd_rn(mean, eps)));
  }
  __syncthreads();
  return result[0];
}

// Sixteen running sums of x, or of (x - mean)^2, in lanes 0..15 of a warp and again in 16..31; then their tree.
template <bool kSquares>
__device__ __forceinline__ float MeanOf(const float* x, int64_t n, float mean, SharedPtr<float> tile,
                                        SharedPtr<float> result) {
  const int lane = static_cast<int>(threadIdx.x);
  float sum = 0;
  for (int64_t base = 0; base < n; base += kTile) {
    __syncthreads();
    // A missing value adds nothing: 0, or the mean less itself.
    const int vectors = 4 * LoadTile(x, base, n, kSquares ? mean : 0.0f, tile);
    __syncthreads();
    if (lane >= 32) continue;
#pragma unroll 4
    for (int i = 0; i < vectors; ++i) {
      const float v = tile[16 * i + lane % 16];
      if constexpr (kSquares) {
        const float centred = __fsub_rn(v, mean);
        sum = __fmaf_rn(centred, centred, sum);
      } else {
        sum = __fadd_rn(sum, v);
      }
    }
  }
  if (lane < 32) {
    sum = SumLanes16(sum);
    if (lane == 0) result[0] = __fdiv_rn(sum, static_cast<float>(n));
  }
  __syncthreads();
  return result[0];
}

}  // namespace kvasir::cuda

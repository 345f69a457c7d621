// What the INT8 linear's kernels share: the exact sum of a group as a float, and where a finished sum goes.
#pragma once

#include "backend/cuda/linear_s8.h"
#include "backend/cuda/math.cuh"
#include "backend/cuda/ptx.cuh"

namespace kvasir::cuda {

// An accumulator that begins with the bits of 1.5 * 2^23 holds, read as a float, that number plus the dot: floats there
// are 1 apart and |dot| <= 64 * 127 * 127 < 2^20. One subtraction at full rate replaces I2F, which runs at a quarter.
constexpr float kDotBias = 12582912.0f;
constexpr int kDotBiasBits = 0x4b400000;

__device__ __forceinline__ float FloatOfDot(int biased) { return __fsub_rn(__int_as_float(biased), kDotBias); }

// One group's dots of 16 rows and 8 columns, biased. a0, a1: rows lane / 4 and 8 below, b: column lane / 4, all quarter
// lane % 4 of the group; d as the mma gives it: (row, columns 2 (lane % 4) and the next), then 8 rows below.
__device__ __forceinline__ void DotGroup(int (&d)[4], const uint4& a0, const uint4& a1, const uint4& b) {
  const int bias[4] = {kDotBiasBits, kDotBiasBits, kDotBiasBits, kDotBiasBits};
  const uint32_t a_low[4] = {a0.x, a1.x, a0.y, a1.y}, b_low[2] = {b.x, b.y};
  const uint32_t a_high[4] = {a0.z, a1.z, a0.w, a1.w}, b_high[2] = {b.z, b.w};
  int half[4];
  MmaS8(half, a_low, b_low, bias);
  MmaS8(d, a_high, b_high, half);
}

__device__ __forceinline__ float LowScale(uint32_t halves) { return HalfToFloat(static_cast<uint16_t>(halves)); }
__device__ __forceinline__ float HighScale(uint32_t halves) { return HalfToFloat(static_cast<uint16_t>(halves >> 16)); }

__device__ __forceinline__ void StoreSum(const LinearS8Args& a, int64_t row, int64_t column, float sum) {
  if (row >= a.rows || column >= a.n) return;
  float* out = a.out + row * a.ld_out + column;
  if (a.bias != nullptr) sum = __fadd_rn(sum, a.bias[column]);
  *out = a.accumulate ? __fadd_rn(*out, sum) : sum;
}

// Columns `column`, even, and the next: 8 bytes where out allows.
__device__ __forceinline__ void StorePair(const LinearS8Args& a, int64_t row, int64_t column, float2 sum) {
  float* out = a.out + row * a.ld_out + column;
  if (row >= a.rows || column + 1 >= a.n || reinterpret_cast<uintptr_t>(out) % sizeof(float2) != 0) {
    StoreSum(a, row, column, sum.x);
    StoreSum(a, row, column + 1, sum.y);
    return;
  }
  if (a.bias != nullptr) {
    sum.x = __fadd_rn(sum.x, a.bias[column]);
    sum.y = __fadd_rn(sum.y, a.bias[column + 1]);
  }
  if (a.accumulate) {
    const float2 before = *reinterpret_cast<const float2*>(out);
    sum.x = __fadd_rn(before.x, sum.x);
    sum.y = __fadd_rn(before.y, sum.y);
  }
  *reinterpret_cast<float2*>(out) = sum;
}

}  // namespace kvasir::cuda

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

__device__ __forceinline__ float FloatOfDot(int biased) {
  return __fsub_rn(__int_as_float(biased), kDotBias);
}

// 16-byte vectors of a group: of a row of x, and of a panel in one half.
constexpr int kRowVectors = kGroup / 16;
constexpr int kHalfVectors = 32;
constexpr int kPanelVectors = 2 * kHalfVectors;

// One group's dots of a panel's 16 columns and 8 rows of x, biased. low, high: the halves of the panel's group at this
// lane; x: row lane / 4, quarter lane % 4. d: column lane / 4 with rows 2 (lane % 4) and the next, then column
// lane / 4 + 8 with the same rows.
__device__ __forceinline__ void DotGroup(int (&d)[4], const uint4& low, const uint4& high, const uint4& x) {
  const uint32_t w_low[4] = {low.x, low.y, low.z, low.w}, x_low[2] = {x.x, x.y};
  const uint32_t w_high[4] = {high.x, high.y, high.z, high.w}, x_high[2] = {x.z, x.w};
#pragma unroll
  for (int& dot : d) dot = kDotBiasBits;
  MmaS8(d, w_low, x_low);
  MmaS8(d, w_high, x_high);
}

// A pair of scales: columns c and c + 8.
__device__ __forceinline__ float LowScale(uint32_t halves) {
  return HalfToFloat(static_cast<uint16_t>(halves));
}
__device__ __forceinline__ float HighScale(uint32_t halves) {
  return HalfToFloat(static_cast<uint16_t>(halves >> 16));
}

__device__ __forceinline__ void StoreSum(const LinearS8Args& a, int64_t row, int64_t column, float sum) {
  if (row >= a.rows || column >= a.n) return;
  float* out = a.out + row * a.ld_out + column;
  if (a.bias != nullptr) sum = __fadd_rn(sum, a.bias[column]);
  *out = a.accumulate ? __fadd_rn(*out, sum) : sum;
}

}  // namespace kvasir::cuda

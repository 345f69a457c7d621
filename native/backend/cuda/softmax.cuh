// What attention and the log-sum-exp share: exp of differences to a maximum, the softmax of 256 values that half a warp
// holds as the CPU's sixteen lanes do, and the merge of two online softmax states (backend/cpu/ops_attention.h).
// It refuses numbers above 0 in exp: nothing here has them.
#pragma once

#include "backend/cuda/math.cuh"

namespace kvasir::cuda {

constexpr float kNegativeInfinity = -__builtin_inff();
constexpr int kLaneValues =
    16;  // values of a lane when half a warp holds 256: value j of lane l is number 16 j + l

// Added to |x| < 2^22 it leaves x rounded to the nearest even integer in the low bits of the sum. Two additions at the
// full rate instead of a conversion each way at a quarter or less of it.
constexpr float kRoundingShift = 12582912.0f;  // 1.5 * 2^23

// Exp for x <= 0 or NaN, the same bits. No clamp: below -87 the polynomial gives anything, and the selection drops it.
__device__ __forceinline__ float ExpOfDifference(float x) {
  const float shifted = __fadd_rn(__fmul_rn(x, 1.44269504f), kRoundingShift);
  const float n = __fsub_rn(shifted, kRoundingShift);
  float r = __fmaf_rn(n, -0.693359375f, x);
  r = __fmaf_rn(n, 2.12194440e-4f, r);
  // The shift's own low 22 bits are zero, so moving its exponent out at the top leaves n.
  const float power = __uint_as_float((__float_as_uint(shifted) << 23) + 0x3f800000u);
  return x < -87.0f ? 0.0f : __fmul_rn(ExpOfRemainder(r), power);
}

// Largest of half a warp's values that are not NaN. Its order is free: only a zero's sign could show it, and nothing
// below depends on that.
__device__ __forceinline__ float LargestOfLanes(float v) {
#pragma unroll
  for (int half = 8; half > 0; half /= 2) v = fmaxf(v, __shfl_xor_sync(kAllLanes, v, half));
  return v;
}

// A row of an online softmax without its values.
struct RowState {
  float max;
  float sum;
};

// values -> exp(value - max), in place; -infinity stands where there is nothing, and becomes 0.
__device__ __forceinline__ RowState ChunkSoftmax(float (&values)[kLaneValues]) {
  float max = kNegativeInfinity;
#pragma unroll
  for (int j = 0; j < kLaneValues; ++j) max = fmaxf(values[j], max);
  max = LargestOfLanes(max);
  float sum = 0;
#pragma unroll
  for (int j = 0; j < kLaneValues; ++j) {
    values[j] = ExpOfDifference(__fsub_rn(values[j], max));
    sum = __fadd_rn(sum, values[j]);
  }
  return {max, SumLanes16(sum)};
}

// What a merge multiplies both sides' values with.
struct MergeFactors {
  float mine, theirs;
};

// state <- state and a later chunk's
__device__ __forceinline__ MergeFactors MergeState(RowState* state, const RowState& later) {
  const float max = MaxOf(state->max, later.max);
  const MergeFactors f = {ExpOfDifference(__fsub_rn(state->max, max)),
                          ExpOfDifference(__fsub_rn(later.max, max))};
  state->max = max;
  state->sum = __fadd_rn(__fmul_rn(state->sum, f.mine), __fmul_rn(later.sum, f.theirs));
  return f;
}

__device__ __forceinline__ float MergeValue(float mine, float theirs, const MergeFactors& f) {
  return __fmaf_rn(mine, f.mine, __fmul_rn(theirs, f.theirs));
}

}  // namespace kvasir::cuda

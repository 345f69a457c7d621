// A group of 64 values in half a warp: lane l of 16 holds values 4l .. 4l + 3, one 16-byte load. The rotation has the
// butterflies of the CPU in the CPU's order (strides 1, 2, 4, 8, 16, 32), so every rounding is the same; quantization
// is that of QuantizeRow in backend/cpu/ops_rows.h. All lanes of a warp call these together.
#pragma once

#include "backend/cuda/math.cuh"
#include "quant/int8_layout.h"

namespace kvasir::cuda {

constexpr int kGroupLanes = kGroup / 4;  // lanes that hold a group
constexpr float kRotationNorm = 0.125f;  // makes the rotation of 64 orthonormal, exactly
constexpr int kInfinityBits = 0x7f800000;

// Hadamard sums over blocks of `block` values (a power of two up to 64), without their norm. A lane with the higher
// index subtracts: a fused multiply by 1 or -1 rounds as the addition does.
__device__ __forceinline__ void RotateSums(float (&v)[4], int lane, int block) {
  if (block >= 2) {
    const float a = __fadd_rn(v[0], v[1]), b = __fsub_rn(v[0], v[1]);
    const float c = __fadd_rn(v[2], v[3]), d = __fsub_rn(v[2], v[3]);
    v[0] = a, v[1] = b, v[2] = c, v[3] = d;
  }
  if (block >= 4) {
    const float a = __fadd_rn(v[0], v[2]), b = __fadd_rn(v[1], v[3]);
    const float c = __fsub_rn(v[0], v[2]), d = __fsub_rn(v[1], v[3]);
    v[0] = a, v[1] = b, v[2] = c, v[3] = d;
  }
#pragma unroll
  for (int stride = 1; stride < kGroupLanes; stride *= 2) {
    if (4 * stride >= block) break;
    const float sign = (lane & stride) != 0 ? -1.0f : 1.0f;
#pragma unroll
    for (int i = 0; i < 4; ++i) v[i] = __fmaf_rn(v[i], sign, __shfl_xor_sync(kAllLanes, v[i], stride));
  }
}

// Largest magnitude of the group. Without NaN the order does not matter, and the bits of magnitudes compare as the
// integers they are; a NaN lies above infinity and sends the warp through the CPU's order, which decides what it hides.
__device__ __forceinline__ float LargestOfGroup(const float (&v)[4]) {
  int bits = 0;
#pragma unroll
  for (int i = 0; i < 4; ++i) bits = max(bits, __float_as_int(v[i]) & 0x7fffffff);
#pragma unroll
  for (int stride = 1; stride < kGroupLanes; stride *= 2) {
    bits = max(bits, __shfl_xor_sync(kAllLanes, bits, stride));
  }
  if (!__any_sync(kAllLanes, bits > kInfinityBits)) return __int_as_float(bits);
  // Value 16 j + i is lane i of the CPU's vector j, and value i % 4 of lane 4 j + i / 4 here.
  float m[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    m[i] = AbsOf(v[i]);
    for (const int stride : {4, 8, 2, 1})
      m[i] = MaxOf(m[i], __shfl_down_sync(kAllLanes, m[i], stride, kGroupLanes));
  }
  return __shfl_sync(kAllLanes, MaxOf(MaxOf(m[0], m[2]), MaxOf(m[1], m[3])), 0, kGroupLanes);
}

// Where a group goes: [64] s8 and its scale.
struct GroupOut {
  int8_t* values;
  float* scale;
};

__device__ __forceinline__ int PackBytes(int a, int b, int c, int d) {
  return (a & 0xff) | (b & 0xff) << 8 | (c & 0xff) << 16 | static_cast<int>(static_cast<unsigned>(d) << 24);
}

// Rotates if asked, quantizes and stores a group. A half-warp without a group takes part in the shuffles only.
__device__ __forceinline__ void QuantizeGroup(float (&v)[4], int lane, bool rotate, bool valid,
                                              GroupOut out) {
  if (rotate) RotateSums(v, lane, kGroup);
  const float norm = rotate ? kRotationNorm : 1.0f;
  const QuantScale s = ScaleOf(__fmul_rn(LargestOfGroup(v), norm));
  const float inverse = __fmul_rn(s.inverse, norm);
  if (!valid) return;
  reinterpret_cast<int*>(out.values)[lane] =
      PackBytes(QuantizeValue(v[0], inverse), QuantizeValue(v[1], inverse), QuantizeValue(v[2], inverse),
                QuantizeValue(v[3], inverse));
  if (lane == 0) *out.scale = s.scale;
}

// Four values of a row of which `left` are there; the others are zero.
__device__ __forceinline__ void LoadQuad(const float* p, int64_t left, float (&v)[4]) {
  if (left >= 4 && reinterpret_cast<uintptr_t>(p) % 16 == 0) {
    const float4 q = *reinterpret_cast<const float4*>(p);
    v[0] = q.x, v[1] = q.y, v[2] = q.z, v[3] = q.w;
    return;
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) v[i] = i < left ? p[i] : 0.0f;
}

__device__ __forceinline__ void StoreQuad(float* p, int64_t left, const float (&v)[4]) {
  if (left >= 4 && reinterpret_cast<uintptr_t>(p) % 16 == 0) {
    *reinterpret_cast<float4*>(p) = make_float4(v[0], v[1], v[2], v[3]);
    return;
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    if (i < left) p[i] = v[i];
  }
}

}  // namespace kvasir::cuda

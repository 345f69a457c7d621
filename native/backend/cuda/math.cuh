// Scalar functions and reductions that give the bits of the CPU's sixteen lanes (backend/cpu/ops_math.h,
// simd_scalar.h). It refuses the device's own exp, fused operations that are not written, and max.f32, which drops NaN
// where the CPU keeps it. NaN stays NaN here; its payload is the device's.
#pragma once

#include <cstdint>

#include "backend/cuda/cuda_platform.h"

namespace kvasir::cuda {

constexpr unsigned kAllLanes = 0xffffffffu;

// The second operand when they do not compare, as on the CPU.
__device__ __forceinline__ float MaxOf(float a, float b) { return a > b ? a : b; }
__device__ __forceinline__ float MinOf(float a, float b) { return a < b ? a : b; }

__device__ __forceinline__ float AbsOf(float a) { return __int_as_float(__float_as_int(a) & 0x7fffffff); }

// Nearest even; what does not fit (NaN too) becomes INT32_MIN. The device saturates below and turns NaN into 0.
__device__ __forceinline__ int RoundToInt(float x) {
  return x < 2147483648.0f ? __float2int_rn(x) : static_cast<int>(0x80000000u);
}

// 2^n for n in [-126, 127].
__device__ __forceinline__ float Pow2(int n) {
  return __int_as_float(static_cast<int>(static_cast<unsigned>(n + 127) << 23));
}

// exp(r) for |r| <= ln2 / 2: the polynomial of ops_math.h.
__device__ __forceinline__ float ExpOfRemainder(float r) {
  float p = 1.381459837e-03f;
  p = __fmaf_rn(p, r, 8.368716898e-03f);
  p = __fmaf_rn(p, r, 4.166838805e-02f);
  p = __fmaf_rn(p, r, 1.666652063e-01f);
  p = __fmaf_rn(p, r, 4.999999345e-01f);
  return __fmaf_rn(__fmul_rn(r, r), p, __fadd_rn(1.0f, r));
}

// See ops_math.h. A NaN turns into n = 0 here and INT32_MIN on the CPU: r is NaN either way, and so the result.
__device__ __forceinline__ float Exp(float x) {
  const float clamped = MaxOf(-87.0f, MinOf(88.0f, x));
  const int n = __float2int_rn(__fmul_rn(clamped, 1.44269504f));
  const float nf = static_cast<float>(n);
  float r = __fmaf_rn(nf, -0.693359375f, clamped);
  r = __fmaf_rn(nf, 2.12194440e-4f, r);
  return x < -87.0f ? 0.0f : __fmul_rn(ExpOfRemainder(r), Pow2(n));
}

// See ops_math.h.
__device__ __forceinline__ float Erf(float z) {
  const float a = MinOf(AbsOf(z), 4.2f);
  const float u = __fmul_rn(a, a);
  float p = -9.680138283e-06f;
  p = __fmaf_rn(p, u, 1.127054517e-04f);
  p = __fmaf_rn(p, u, -8.484711545e-04f);
  p = __fmaf_rn(p, u, 5.221074885e-03f);
  p = __fmaf_rn(p, u, -2.686544582e-02f);
  p = __fmaf_rn(p, u, 1.128378275e-01f);
  p = __fmaf_rn(p, u, -3.761263848e-01f);
  p = __fmaf_rn(p, u, 1.128379167e+00f);
  const float t = __fdiv_rn(1.0f, __fmaf_rn(a, 0.5f, 1.0f));
  float q = 4.819985791e-03f;
  q = __fmaf_rn(q, t, 9.233100462e-02f);
  q = __fmaf_rn(q, t, -4.067952211e-01f);
  q = __fmaf_rn(q, t, 4.775637717e-01f);
  q = __fmaf_rn(q, t, -3.373671973e-02f);
  q = __fmaf_rn(q, t, 3.119739981e-01f);
  q = __fmaf_rn(q, t, 2.709915969e-01f);
  q = __fmaf_rn(q, t, 2.829034315e-01f);
  const float tail = __fsub_rn(1.0f, __fmul_rn(Exp(__fsub_rn(0.0f, u)), __fmul_rn(t, q)));
  const float magnitude = a < 1.0f ? __fmul_rn(a, p) : tail;
  return __int_as_float((__float_as_int(magnitude) & 0x7fffffff) |
                        (__float_as_int(z) & static_cast<int>(0x80000000u)));
}

// See ops_math.h.
__device__ __forceinline__ float Tanh(float x) {
  const float a = AbsOf(x);
  const float u = __fmul_rn(a, a);
  float p = 1.736935694e-03f;
  p = __fmaf_rn(p, u, -7.657255046e-03f);
  p = __fmaf_rn(p, u, 2.145203389e-02f);
  p = __fmaf_rn(p, u, -5.389272422e-02f);
  p = __fmaf_rn(p, u, 1.333269477e-01f);
  p = __fmaf_rn(p, u, -3.333331645e-01f);
  const float near = __fmaf_rn(__fmul_rn(a, u), p, a);
  const float e = Exp(__fsub_rn(0.0f, __fadd_rn(a, a)));
  const float tail = __fsub_rn(1.0f, __fdiv_rn(__fadd_rn(e, e), __fadd_rn(1.0f, e)));
  const float magnitude = a < 0.75f ? near : tail;
  return __int_as_float((__float_as_int(magnitude) & 0x7fffffff) |
                        (__float_as_int(x) & static_cast<int>(0x80000000u)));
}

// scale = amax / 127 and the factor 127 / amax; both 0 for zeros (ScaleOf of ops_rows.h).
struct QuantScale {
  float scale, inverse;
};
__device__ __forceinline__ QuantScale ScaleOf(float amax) {
  if (!(amax > 0.0f)) return {0.0f, 0.0f};
  const float inverse = __fdiv_rn(127.0f, amax);
  return {__fdiv_rn(amax, 127.0f), inverse <= 3.4028234e38f ? inverse : 0.0f};
}

// round(x * inverse), at least -127: that bound is for NaN.
__device__ __forceinline__ int QuantizeValue(float x, float inverse) {
  return max(RoundToInt(__fmul_rn(x, inverse)), -127);
}

// The CPU's tree over sixteen lanes, for both halves of a warp at once: i and i + 8, then 4, 2, 1. Every lane gets the
// sum; addition commutes, so each lane's tree is that of lane 0.
__device__ __forceinline__ float SumLanes16(float v) {
  for (int half = 8; half > 0; half /= 2) v = __fadd_rn(v, __shfl_xor_sync(kAllLanes, v, half));
  return v;
}

// The same tree of MaxOf. With NaN the operands' order counts, so lane 0 of each half hands its result to the others.
__device__ __forceinline__ float MaxLanes16(float v) {
  for (int half = 8; half > 0; half /= 2) v = MaxOf(v, __shfl_xor_sync(kAllLanes, v, half));
  return __shfl_sync(kAllLanes, v, 0, 16);
}

}  // namespace kvasir::cuda

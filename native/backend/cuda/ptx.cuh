// Each PTX instruction that kernels use, beside its emulated twin.
#pragma once

#include <cstdint>

#include "backend/cuda/cuda_platform.h"

namespace kvasir::cuda {

#if !defined(KVASIR_CUDA_EMULATION)

#if KVASIR_CUDA_ARCH >= 800
constexpr bool kHasCpAsync = true;
#else
constexpr bool kHasCpAsync = false;
#endif

__device__ __forceinline__ float HalfToFloat(uint16_t bits) {
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
  return value;
}

// d = a b + c, [16, 32] x [32, 8]. a: rows lane / 4 and + 8, k of quarter lane % 4, then k + 16; b: column lane / 4.
__device__ __forceinline__ void MmaS8(int (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], const int (&c)[4]) {
#if KVASIR_CUDA_ARCH >= 800
  asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%10,%11,%12,%13};"
      : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]), "r"(c[0]), "r"(c[1]), "r"(c[2]), "r"(c[3]));
#else
  const auto mma8816 = [](int& d0, int& d1, uint32_t a0, uint32_t b0, int c0, int c1) {
    asm("mma.sync.aligned.m8n8k16.row.col.s32.s8.s8.s32 {%0,%1}, {%2}, {%3}, {%4,%5};"
        : "=r"(d0), "=r"(d1)
        : "r"(a0), "r"(b0), "r"(c0), "r"(c1));
  };
  int e[4];
  mma8816(e[0], e[1], a[0], b[0], c[0], c[1]);
  mma8816(e[2], e[3], a[1], b[0], c[2], c[3]);
  mma8816(d[0], d[1], a[2], b[1], e[0], e[1]);
  mma8816(d[2], d[3], a[3], b[1], e[2], e[3]);
#endif
}

template <typename T>
__device__ __forceinline__ void CpAsync16(SharedPtr<T> dst, const void* src, bool valid) {
#if KVASIR_CUDA_ARCH >= 800
  const unsigned address = static_cast<unsigned>(__cvta_generic_to_shared(dst));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(src), "r"(valid ? 16 : 0) : "memory");
#endif
}
template <typename T>
__device__ __forceinline__ void CpAsync4(SharedPtr<T> dst, const void* src, bool valid) {
#if KVASIR_CUDA_ARCH >= 800
  const unsigned address = static_cast<unsigned>(__cvta_generic_to_shared(dst));
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(address), "l"(src), "r"(valid ? 4 : 0) : "memory");
#endif
}
__device__ __forceinline__ void CpAsyncCommit() {
#if KVASIR_CUDA_ARCH >= 800
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}
template <int kPending>
__device__ __forceinline__ void CpAsyncWait() {
#if KVASIR_CUDA_ARCH >= 800
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
#endif
}

#endif

}  // namespace kvasir::cuda

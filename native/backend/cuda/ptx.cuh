// The PTX instructions that CUDA C++ has no function for, one wrapper each, beside the twin that the emulation runs. It
// refuses everything else: what __dp4a, __shfl_sync and the _rn intrinsics can say is said with them.
//
// Fragments, for `lane` in its warp, g = lane / 4 and t = lane % 4 (PTX ISA, "Matrix fragments for mma"). A register
// holds 4 bytes, the one of the lowest k in the low byte.
//   m16n8k32  a[0] A[g][4t..], a[1] A[g + 8][4t..], a[2] A[g][16 + 4t..], a[3] A[g + 8][16 + 4t..]
//             b[0] B[4t..][g], b[1] B[16 + 4t..][g]
//             d[0] D[g][2t], d[1] D[g][2t + 1], d[2] D[g + 8][2t], d[3] D[g + 8][2t + 1]
//   m8n8k16   a A[g][4t..], b B[4t..][g], d[0] D[g][2t], d[1] D[g][2t + 1]
// All 32 lanes take part. Sums wrap; with |q| <= 127 and 64 terms they cannot.
#pragma once

#include <cstdint>

#include "backend/cuda/cuda_platform.h"

namespace kvasir::cuda {

#if defined(KVASIR_CUDA_EMULATION)

// d += A B with s8 A and s8 B (u8 A in MmaU8S8Small).
inline void MmaS8Small(int (&d)[2], uint32_t a, uint32_t b,
                       cuda_emulation::Site site = cuda_emulation::Site::Here()) {
  cuda_emulation::Mma8x8x16(false, d, &a, &b, site);
}
inline void MmaU8S8Small(int (&d)[2], uint32_t a, uint32_t b,
                         cuda_emulation::Site site = cuda_emulation::Site::Here()) {
  cuda_emulation::Mma8x8x16(true, d, &a, &b, site);
}

#if !defined(KVASIR_CUDA_ARCH) || KVASIR_CUDA_ARCH >= 800

inline void MmaS8(int (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                  cuda_emulation::Site site = cuda_emulation::Site::Here()) {
  cuda_emulation::Mma16x8x32(false, d, a, b, site);
}
inline void MmaU8S8(int (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                    cuda_emulation::Site site = cuda_emulation::Site::Here()) {
  cuda_emulation::Mma16x8x32(true, d, a, b, site);
}

inline void CopyAsync16(SharedPtr<uint4> to, const void* from) {
  cuda_emulation::CopyAsync(to.array(), to.offset(), from, true);
}
inline void CopyAsync16OrZero(SharedPtr<uint4> to, const void* from, bool valid) {
  cuda_emulation::CopyAsync(to.array(), to.offset(), from, valid);
}
inline void CopyAsyncCommit() { cuda_emulation::CopyAsyncCommitGroup(); }
template <int kPending>
void CopyAsyncWait() {
  cuda_emulation::CopyAsyncWaitGroup(kPending);
}

#endif

// The value of a binary16 number.
inline float HalfToFloat(uint16_t half) { return cuda_emulation::HalfToFloat(half); }
// The nearest binary16 number, ties to even; beyond +-65,504 infinity.
inline uint16_t HalfFromFloat(float value) { return cuda_emulation::HalfFromFloat(value); }

#elif defined(__CUDACC__)

__device__ __forceinline__ void MmaS8Small(int (&d)[2], uint32_t a, uint32_t b) {
  asm volatile("mma.sync.aligned.m8n8k16.row.col.s32.s8.s8.s32 {%0, %1}, {%2}, {%3}, {%0, %1};"
               : "+r"(d[0]), "+r"(d[1])
               : "r"(a), "r"(b));
}
__device__ __forceinline__ void MmaU8S8Small(int (&d)[2], uint32_t a, uint32_t b) {
  asm volatile("mma.sync.aligned.m8n8k16.row.col.s32.u8.s8.s32 {%0, %1}, {%2}, {%3}, {%0, %1};"
               : "+r"(d[0]), "+r"(d[1])
               : "r"(a), "r"(b));
}

#if !defined(KVASIR_CUDA_ARCH) || KVASIR_CUDA_ARCH >= 800

__device__ __forceinline__ void MmaS8(int (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
__device__ __forceinline__ void MmaU8S8(int (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// 16 bytes from global to shared memory, past L1. Nobody may touch them before CopyAsyncWait covers their group, and
// other threads not before a barrier after it.
__device__ __forceinline__ void CopyAsync16(SharedPtr<uint4> to, const void* from) {
  asm volatile(
      "cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(static_cast<uint32_t>(__cvta_generic_to_shared(to))),
      "l"(__cvta_generic_to_global(from))
      : "memory");
}
// The same, or 16 zeros without reading `from`.
__device__ __forceinline__ void CopyAsync16OrZero(SharedPtr<uint4> to, const void* from, bool valid) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(
                   static_cast<uint32_t>(__cvta_generic_to_shared(to))),
               "l"(__cvta_generic_to_global(from)), "r"(valid ? 16 : 0)
               : "memory");
}
// Ends a group of copies, which may be empty.
__device__ __forceinline__ void CopyAsyncCommit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Until at most kPending of this thread's newest groups are under way.
template <int kPending>
__device__ __forceinline__ void CopyAsyncWait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

#endif

__device__ __forceinline__ float HalfToFloat(uint16_t half) {
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(half));
  return value;
}
__device__ __forceinline__ uint16_t HalfFromFloat(float value) {
  uint16_t half;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(half) : "f"(value));
  return half;
}

#endif

#if defined(KVASIR_CUDA_ARCH) && KVASIR_CUDA_ARCH < 800

// sm_75 has no m16n8k32: its quarters are four m8n8k16 whose fragments are the large one's registers.
__device__ __forceinline__ void MmaS8(int (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  int upper[2] = {d[0], d[1]};
  int lower[2] = {d[2], d[3]};
  MmaS8Small(upper, a[0], b[0]);
  MmaS8Small(lower, a[1], b[0]);
  MmaS8Small(upper, a[2], b[1]);
  MmaS8Small(lower, a[3], b[1]);
  d[0] = upper[0], d[1] = upper[1], d[2] = lower[0], d[3] = lower[1];
}
__device__ __forceinline__ void MmaU8S8(int (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  int upper[2] = {d[0], d[1]};
  int lower[2] = {d[2], d[3]};
  MmaU8S8Small(upper, a[0], b[0]);
  MmaU8S8Small(lower, a[1], b[0]);
  MmaU8S8Small(upper, a[2], b[1]);
  MmaU8S8Small(lower, a[3], b[1]);
  d[0] = upper[0], d[1] = upper[1], d[2] = lower[0], d[3] = lower[1];
}

// Nor cp.async: the copy is done at once.
__device__ __forceinline__ void CopyAsync16(SharedPtr<uint4> to, const void* from) {
  *to = *static_cast<const uint4*>(from);
}
__device__ __forceinline__ void CopyAsync16OrZero(SharedPtr<uint4> to, const void* from, bool valid) {
  *to = valid ? *static_cast<const uint4*>(from) : make_uint4(0, 0, 0, 0);
}
__device__ __forceinline__ void CopyAsyncCommit() {}
template <int kPending>
__device__ __forceinline__ void CopyAsyncWait() {}

#endif

}  // namespace kvasir::cuda

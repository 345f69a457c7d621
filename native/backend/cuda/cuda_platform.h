// Where CUDA comes from: NVIDIA's toolkit, or the emulation under test/ that runs the same sources on the CPU. Every
// file of this room includes this one and no CUDA header of its own.
//
// What kernels hold to, so that both can run them:
// - Shared memory is declared with KVASIR_SHARED or taken from DynamicShared, and reached through SharedPtr: the
//   emulation then sees each access. Elements are read and written whole: `int4 v = p[i]; use(v.x);`.
// - PTX stands in ptx.cuh alone, each instruction beside its emulated twin.
// - Kernels are launched through KVASIR_LAUNCH (launch.h).
#pragma once

#if defined(KVASIR_CUDA_EMULATION)

#include "cuda_emulation.h"

#else

#include <cuda_runtime.h>

#if defined(__CUDACC__)

namespace kvasir::cuda {

template <typename T>
using SharedPtr = T*;

// The same memory as elements of another type.
template <typename U, typename T>
__device__ __forceinline__ U* SharedCast(T* p) {
  return reinterpret_cast<U*>(p);
}

// The block's dynamic shared memory, aligned to 16 bytes.
template <typename T>
__device__ __forceinline__ T* DynamicShared() {
  extern __shared__ __align__(16) unsigned char kvasir_dynamic_shared[];
  return reinterpret_cast<T*>(kvasir_dynamic_shared);
}

// Adds v, of int or unsigned, to *p and returns what was there.
template <typename T>
__device__ __forceinline__ T AtomicAddShared(T* p, T v) {
  return atomicAdd(p, v);
}

}  // namespace kvasir::cuda

// `count` elements that the threads of a block share.
#define KVASIR_SHARED(type, name, count) __shared__ __align__(16) type name[count]

// The architecture that is compiled for, as sm_75 is 750.
#if defined(__CUDA_ARCH__)
#define KVASIR_CUDA_ARCH __CUDA_ARCH__
#endif

#endif  // __CUDACC__

#endif  // KVASIR_CUDA_EMULATION

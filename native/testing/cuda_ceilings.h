// What a device can do at most, by loops that do nothing else: the ceilings that measurements are shares of.
#pragma once

#include <cstdint>
#include <functional>

#include "backend/cuda/cuda_platform.h"

namespace kvasir::testing {

// Seconds of one run of `work`, by events: the least of `samples`, after one run that does not count.
double SecondsOf(cudaStream_t stream, int samples, const std::function<void()>& work);

enum class Ceiling {
  kCopy,        // bytes read and written
  kRead,        // bytes read
  kInt8Mma,     // operations of mma.sync.m16n8k32, s8
  kHalfMma,     // operations of mma.sync.m16n8k16, f16 with float32 sums
  kInt8Wgmma,   // operations of wgmma.m64n128k32, s8: sm_90a alone
  kHalfWgmma,   // operations of wgmma.m64n128k16, f16 with float32 sums: sm_90a alone
  kIntToFloat,  // conversions of int32 to float32
};

// Bytes, operations or conversions a second; 0: this device has no such instruction. `scale` divides the work: 1 is for a
// device, the emulation wants thousands. Throws what CUDA says.
double Measure(Ceiling ceiling, int64_t scale, cudaStream_t stream);

}  // namespace kvasir::testing

// Which values may not be in stored weights. It says what is wrong and where; what to do about it is the caller's.
#pragma once

#include <cstdint>

#include "quant/int8_layout.h"

namespace kvasir {

enum class BlockFault {
  kNone,
  kScale,   // a scale that is negative, infinite or not a number
  kWeight,  // a byte 0, which would stand for -128: kernels rely on [-127, 127]
};

// The first fault of the blocks; `*block` and `*column` say where a bad scale is.
BlockFault CheckBlocks(const Int8Block* blocks, int64_t n, int64_t* block, int64_t* column);

// The first of n values that is infinite or not a number, or n.
int64_t FirstNotFinite(const float* values, int64_t n);

}  // namespace kvasir

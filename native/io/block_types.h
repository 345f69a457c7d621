// Blocks of quantized values to float32, one function a block type of GGUF: what io/dequantize.cc lists. Each takes
// blocks [n_blocks, block bytes] u8 at any alignment and writes [n_blocks, block elements] f32. Products and sums are IEEE
// operations in the reference's order, never fused. A scale that is infinite or not a number gives such values.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

#include "core/half.h"

namespace kvasir {

static_assert(std::endian::native == std::endian::little,
              "model files are little-endian and read as they are");

inline uint16_t LoadU16(const uint8_t* from) {
  uint16_t value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

inline float LoadHalf(const uint8_t* from) { return FloatFromHalf(LoadU16(from)); }

// Of IQ4_NL and IQ4_XS: what 4 bits stand for.
inline constexpr float kNonLinear4[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                          1,    13,   25,  38,  53,  69,  89,  113};

// 32 values (block_types_32.cc).
void ConvertQ4_0(const uint8_t* blocks, int64_t n_blocks, float* out);
void ConvertQ4_1(const uint8_t* blocks, int64_t n_blocks, float* out);
void ConvertQ5_0(const uint8_t* blocks, int64_t n_blocks, float* out);
void ConvertQ5_1(const uint8_t* blocks, int64_t n_blocks, float* out);
void ConvertQ8_0(const uint8_t* blocks, int64_t n_blocks, float* out);
void ConvertIq4Nl(const uint8_t* blocks, int64_t n_blocks, float* out);
void ConvertMxfp4(const uint8_t* blocks, int64_t n_blocks, float* out);

// 256 values (block_types_256.cc).
void ConvertQ2K(const uint8_t* blocks, int64_t n_blocks, float* out);
void ConvertQ3K(const uint8_t* blocks, int64_t n_blocks, float* out);
void ConvertQ4K(const uint8_t* blocks, int64_t n_blocks, float* out);
void ConvertQ5K(const uint8_t* blocks, int64_t n_blocks, float* out);
void ConvertQ6K(const uint8_t* blocks, int64_t n_blocks, float* out);
void ConvertIq4Xs(const uint8_t* blocks, int64_t n_blocks, float* out);

}  // namespace kvasir

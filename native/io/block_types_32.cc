// Blocks of 32 values. In all of them the low nibbles of 16 bytes are values 0..15, the high ones values 16..31.
#include "io/block_types.h"

namespace kvasir {
namespace {

// Of MXFP4, twice what E2M1 says, so that they are integers. The code 8, minus zero, is plain zero.
constexpr float kTwiceE2m1[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

// Half of the power of two that E8M0 says, 2^(exponent - 128): subnormal for the two smallest exponents.
float HalfOfE8m0(uint8_t exponent) {
  const uint32_t bits = exponent < 2 ? 0x00200000u << exponent : (static_cast<uint32_t>(exponent) - 1) << 23;
  return FloatFromBits(bits);
}

// 16 bytes of nibbles that choose from `values`.
void ConvertChosen(const uint8_t* __restrict nibbles, const float* __restrict values, float scale,
                   float* __restrict out) {
  for (int i = 0; i < 16; ++i) {
    out[i] = scale * values[nibbles[i] & 15];
    out[16 + i] = scale * values[nibbles[i] >> 4];
  }
}

}  // namespace

// f16 scale, 16 bytes of nibbles, each offset by 8.
void ConvertQ4_0(const uint8_t* __restrict blocks, int64_t n_blocks, float* __restrict out) {
  for (int64_t b = 0; b < n_blocks; ++b, blocks += 18, out += 32) {
    const float scale = LoadHalf(blocks);
    for (int i = 0; i < 16; ++i) {
      const int byte = blocks[2 + i];
      out[i] = static_cast<float>((byte & 15) - 8) * scale;
      out[16 + i] = static_cast<float>((byte >> 4) - 8) * scale;
    }
  }
}

// f16 scale, f16 minimum, 16 bytes of nibbles without offset.
void ConvertQ4_1(const uint8_t* __restrict blocks, int64_t n_blocks, float* __restrict out) {
  for (int64_t b = 0; b < n_blocks; ++b, blocks += 20, out += 32) {
    const float scale = LoadHalf(blocks);
    const float minimum = LoadHalf(blocks + 2);
    for (int i = 0; i < 16; ++i) {
      const int byte = blocks[4 + i];
      out[i] = static_cast<float>(byte & 15) * scale + minimum;
      out[16 + i] = static_cast<float>(byte >> 4) * scale + minimum;
    }
  }
}

// f16 scale, 4 bytes whose bit i is the fifth bit of value i, 16 bytes of nibbles; each value offset by 16.
void ConvertQ5_0(const uint8_t* __restrict blocks, int64_t n_blocks, float* __restrict out) {
  for (int64_t b = 0; b < n_blocks; ++b, blocks += 22, out += 32) {
    const float scale = LoadHalf(blocks);
    const int first = LoadU16(blocks + 2), second = LoadU16(blocks + 4);
    for (int i = 0; i < 16; ++i) {
      const int byte = blocks[6 + i];
      out[i] = static_cast<float>(((byte & 15) | (first >> i & 1) << 4) - 16) * scale;
      out[16 + i] = static_cast<float>(((byte >> 4) | (second >> i & 1) << 4) - 16) * scale;
    }
  }
}

// f16 scale, f16 minimum, then as Q5_0 without offset.
void ConvertQ5_1(const uint8_t* __restrict blocks, int64_t n_blocks, float* __restrict out) {
  for (int64_t b = 0; b < n_blocks; ++b, blocks += 24, out += 32) {
    const float scale = LoadHalf(blocks);
    const float minimum = LoadHalf(blocks + 2);
    const int first = LoadU16(blocks + 4), second = LoadU16(blocks + 6);
    for (int i = 0; i < 16; ++i) {
      const int byte = blocks[8 + i];
      out[i] = static_cast<float>((byte & 15) | (first >> i & 1) << 4) * scale + minimum;
      out[16 + i] = static_cast<float>((byte >> 4) | (second >> i & 1) << 4) * scale + minimum;
    }
  }
}

// f16 scale, 32 x s8.
void ConvertQ8_0(const uint8_t* __restrict blocks, int64_t n_blocks, float* __restrict out) {
  for (int64_t b = 0; b < n_blocks; ++b, blocks += 34, out += 32) {
    const float scale = LoadHalf(blocks);
    for (int i = 0; i < 32; ++i) out[i] = static_cast<float>(static_cast<int8_t>(blocks[2 + i])) * scale;
  }
}

// f16 scale, 16 bytes of nibbles that choose from 16 values.
void ConvertIq4Nl(const uint8_t* __restrict blocks, int64_t n_blocks, float* __restrict out) {
  for (int64_t b = 0; b < n_blocks; ++b, blocks += 18, out += 32) {
    ConvertChosen(blocks + 2, kNonLinear4, LoadHalf(blocks), out);
  }
}

// E8M0 scale, 16 bytes of E2M1 (OCP microscaling formats 1.0, section 5.3).
void ConvertMxfp4(const uint8_t* __restrict blocks, int64_t n_blocks, float* __restrict out) {
  for (int64_t b = 0; b < n_blocks; ++b, blocks += 17, out += 32) {
    ConvertChosen(blocks + 1, kTwiceE2m1, HalfOfE8m0(blocks[0]), out);
  }
}

}  // namespace kvasir

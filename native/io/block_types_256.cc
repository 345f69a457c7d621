// Blocks of 256 values: runs of 16 or 32 values with small integer scales of their own, times a scale of the block.
#include "io/block_types.h"

namespace kvasir {
namespace {

// The 6-bit scales and minimums of Q4_K and Q5_K, of runs of 32 values. The last 4 of both have their low 4 bits together in
// bytes 8..11 and their high 2 bits above the first 4.
struct ScalesAndMinimums {
  float scales[8];
  float minimums[8];
};

// f16 scale, f16 scale of the minimums, 12 bytes.
ScalesAndMinimums ReadScales(const uint8_t* block) {
  const float scale = LoadHalf(block), minimum_scale = LoadHalf(block + 2);
  const uint8_t* packed = block + 4;
  ScalesAndMinimums out;
  for (int i = 0; i < 4; ++i) {
    const int high_scale = (packed[8 + i] & 15) | packed[i] >> 6 << 4;
    const int high_minimum = packed[8 + i] >> 4 | packed[4 + i] >> 6 << 4;
    out.scales[i] = scale * static_cast<float>(packed[i] & 63);
    out.scales[4 + i] = scale * static_cast<float>(high_scale);
    out.minimums[i] = minimum_scale * static_cast<float>(packed[4 + i] & 63);
    out.minimums[4 + i] = minimum_scale * static_cast<float>(high_minimum);
  }
  return out;
}

}  // namespace

// 16 bytes of a 4-bit scale and, above it, a 4-bit minimum, of runs of 16 values; 64 bytes of 2 bits; f16 scale, f16 scale of
// the minimums. A byte l of the first 32 has values l, 32 + l, 64 + l, 96 + l; the others the second half.
void ConvertQ2K(const uint8_t* __restrict blocks, int64_t n_blocks, float* __restrict out) {
  for (int64_t b = 0; b < n_blocks; ++b, blocks += 84, out += 256) {
    const float scale = LoadHalf(blocks + 80), minimum_scale = LoadHalf(blocks + 82);
    for (int run = 0; run < 16; ++run) {
      const float run_scale = scale * static_cast<float>(blocks[run] & 15);
      const float minimum = minimum_scale * static_cast<float>(blocks[run] >> 4);
      const uint8_t* bytes = blocks + 16 + run / 8 * 32 + run % 2 * 16;
      const int shift = run % 8 / 2 * 2;
      for (int i = 0; i < 16; ++i) {
        out[run * 16 + i] = run_scale * static_cast<float>(bytes[i] >> shift & 3) - minimum;
      }
    }
  }
}

// 32 bytes of third bits, 64 bytes of 2 bits in the order of Q2_K, 12 bytes of 6-bit scales offset by 32, f16 scale. Bit r of
// byte l of the third bits is that of value 32 r + l; where it is 0, 4 is subtracted.
void ConvertQ3K(const uint8_t* __restrict blocks, int64_t n_blocks, float* __restrict out) {
  for (int64_t b = 0; b < n_blocks; ++b, blocks += 110, out += 256) {
    const float scale = LoadHalf(blocks + 108);
    const uint8_t* packed = blocks + 96;
    for (int run = 0; run < 16; ++run) {
      const int low = packed[run % 8] >> run / 8 * 4 & 15;
      const int high = packed[8 + run % 4] >> run / 4 * 2 & 3;
      const float run_scale = scale * static_cast<float>((low | high << 4) - 32);
      const uint8_t* bytes = blocks + 32 + run / 8 * 32 + run % 2 * 16;
      const uint8_t* third = blocks + run % 2 * 16;
      const int shift = run % 8 / 2 * 2, bit = run / 2;
      for (int i = 0; i < 16; ++i) {
        const int value = (bytes[i] >> shift & 3) + (third[i] >> bit & 1) * 4 - 4;
        out[run * 16 + i] = run_scale * static_cast<float>(value);
      }
    }
  }
}

// Scales and minimums, 128 bytes of nibbles: of 32 bytes the low ones are a run of 32 values, the high ones the next.
void ConvertQ4K(const uint8_t* __restrict blocks, int64_t n_blocks, float* __restrict out) {
  for (int64_t b = 0; b < n_blocks; ++b, blocks += 144, out += 256) {
    const ScalesAndMinimums runs = ReadScales(blocks);
    for (int run = 0; run < 8; ++run) {
      const float scale = runs.scales[run], minimum = runs.minimums[run];
      const uint8_t* bytes = blocks + 16 + run / 2 * 32;
      const int shift = run % 2 * 4;
      for (int i = 0; i < 32; ++i) {
        out[run * 32 + i] = scale * static_cast<float>(bytes[i] >> shift & 15) - minimum;
      }
    }
  }
}

// Scales and minimums, 32 bytes whose bit r is the fifth bit of run r, then as Q4_K.
void ConvertQ5K(const uint8_t* __restrict blocks, int64_t n_blocks, float* __restrict out) {
  for (int64_t b = 0; b < n_blocks; ++b, blocks += 176, out += 256) {
    const ScalesAndMinimums runs = ReadScales(blocks);
    const uint8_t* fifth = blocks + 16;
    for (int run = 0; run < 8; ++run) {
      const float scale = runs.scales[run], minimum = runs.minimums[run];
      const uint8_t* bytes = blocks + 48 + run / 2 * 32;
      const int shift = run % 2 * 4;
      for (int i = 0; i < 32; ++i) {
        const int value = (bytes[i] >> shift & 15) | (fifth[i] >> run & 1) << 4;
        out[run * 32 + i] = scale * static_cast<float>(value) - minimum;
      }
    }
  }
}

// 128 bytes of low nibbles, 64 bytes of high 2 bits in the order of Q2_K, 16 x s8 scales of runs of 16, f16 scale; values are
// offset by 32. Of each 64 low bytes the low nibbles are 64 values, the high ones the next 64.
void ConvertQ6K(const uint8_t* __restrict blocks, int64_t n_blocks, float* __restrict out) {
  for (int64_t b = 0; b < n_blocks; ++b, blocks += 210, out += 256) {
    const float scale = LoadHalf(blocks + 208);
    for (int run = 0; run < 16; ++run) {
      const float run_scale = scale * static_cast<float>(static_cast<int8_t>(blocks[192 + run]));
      const uint8_t* low = blocks + run / 8 * 64 + run % 4 * 16;
      const uint8_t* high = blocks + 128 + run / 8 * 32 + run % 2 * 16;
      const int low_shift = run % 8 / 4 * 4, high_shift = run % 8 / 2 * 2;
      for (int i = 0; i < 16; ++i) {
        const int value = ((low[i] >> low_shift & 15) | (high[i] >> high_shift & 3) << 4) - 32;
        out[run * 16 + i] = run_scale * static_cast<float>(value);
      }
    }
  }
}

// f16 scale, 16 bits of the high 2 bits of scales, 4 bytes of their low 4 bits, 128 bytes of nibbles that choose as IQ4_NL's;
// scales of runs of 32 values are offset by 32. Of 16 bytes the low nibbles are 16 values, the high ones the next 16.
void ConvertIq4Xs(const uint8_t* __restrict blocks, int64_t n_blocks, float* __restrict out) {
  for (int64_t b = 0; b < n_blocks; ++b, blocks += 136, out += 256) {
    const float scale = LoadHalf(blocks);
    const int high_bits = LoadU16(blocks + 2);
    for (int run = 0; run < 8; ++run) {
      const int low = blocks[4 + run / 2] >> run % 2 * 4 & 15;
      const float run_scale = scale * static_cast<float>((low | (high_bits >> 2 * run & 3) << 4) - 32);
      const uint8_t* bytes = blocks + 8 + run * 16;
      for (int i = 0; i < 16; ++i) {
        out[run * 32 + i] = run_scale * kNonLinear4[bytes[i] & 15];
        out[run * 32 + 16 + i] = run_scale * kNonLinear4[bytes[i] >> 4];
      }
    }
  }
}

}  // namespace kvasir

#include "io/dequantize.h"

#include <cstring>

#include "core/half.h"
#include "io/block_types.h"

namespace kvasir {
namespace {

void ConvertF32(const uint8_t* __restrict blocks, int64_t n_blocks, float* __restrict out) {
  std::memcpy(out, blocks, static_cast<size_t>(n_blocks) * sizeof(float));
}

void ConvertF64(const uint8_t* __restrict blocks, int64_t n_blocks, float* __restrict out) {
  for (int64_t i = 0; i < n_blocks; ++i) {
    double value;
    std::memcpy(&value, blocks + 8 * i, sizeof value);
    out[i] = static_cast<float>(value);
  }
}

void ConvertF16(const uint8_t* __restrict blocks, int64_t n_blocks, float* __restrict out) {
  for (int64_t i = 0; i < n_blocks; ++i) {
    // FloatFromHalf without branches: a select of a float product would become one and stop the vectoriser.
    const uint32_t half = LoadU16(blocks + 2 * i);
    const uint32_t magnitude = half & 0x7fffu;
    const uint32_t rebias = magnitude >= 0x7c00u ? 224u << 23 : 112u << 23;
    const uint32_t normal = (magnitude << 13) + rebias;
    const uint32_t subnormal = BitsFromFloat(static_cast<float>(static_cast<int32_t>(magnitude)) * 0x1p-24f);
    const uint32_t is_subnormal = magnitude < 0x400u ? ~0u : 0u;
    out[i] = FloatFromBits((half & 0x8000u) << 16 | (subnormal & is_subnormal) | (normal & ~is_subnormal));
  }
}

void ConvertBf16(const uint8_t* __restrict blocks, int64_t n_blocks, float* __restrict out) {
  for (int64_t i = 0; i < n_blocks; ++i) out[i] = FloatFromBfloat16(LoadU16(blocks + 2 * i));
}

// 4 bits of exponent with bias 7, 3 of mantissa, no infinities: 0x7f is the only magnitude that is not a number.
void ConvertF8E4m3(const uint8_t* __restrict blocks, int64_t n_blocks, float* __restrict out) {
  for (int64_t i = 0; i < n_blocks; ++i) {
    const uint32_t magnitude = blocks[i] & 0x7fu;
    const uint32_t normal = magnitude == 0x7fu ? 0x7fc00000u : (magnitude << 20) + (120u << 23);
    const uint32_t subnormal = BitsFromFloat(static_cast<float>(static_cast<int32_t>(magnitude)) * 0x1p-9f);
    const uint32_t is_subnormal = magnitude < 8u ? ~0u : 0u;
    const uint32_t sign = static_cast<uint32_t>(blocks[i] & 0x80u) << 24;
    out[i] = FloatFromBits(sign | (subnormal & is_subnormal) | (normal & ~is_subnormal));
  }
}

// 2^(byte - 127); 255 is not a number.
void ConvertF8E8m0(const uint8_t* __restrict blocks, int64_t n_blocks, float* __restrict out) {
  for (int64_t i = 0; i < n_blocks; ++i) {
    const uint32_t exponent = blocks[i];
    const uint32_t least = exponent == 0 ? 0x00400000u : 0u;
    out[i] = FloatFromBits(exponent == 255 ? 0x7fc00000u : exponent << 23 | least);
  }
}

constexpr Dequantizer kDequantizers[] = {
    {"F32", 1, 4, ConvertF32},       {"F16", 1, 2, ConvertF16},        {"BF16", 1, 2, ConvertBf16},
    {"F64", 1, 8, ConvertF64},       {"F8_E4M3", 1, 1, ConvertF8E4m3}, {"F8_E8M0", 1, 1, ConvertF8E8m0},
    {"Q4_0", 32, 18, ConvertQ4_0},   {"Q4_1", 32, 20, ConvertQ4_1},    {"Q5_0", 32, 22, ConvertQ5_0},
    {"Q5_1", 32, 24, ConvertQ5_1},   {"Q8_0", 32, 34, ConvertQ8_0},    {"Q2_K", 256, 84, ConvertQ2K},
    {"Q3_K", 256, 110, ConvertQ3K},  {"Q4_K", 256, 144, ConvertQ4K},   {"Q5_K", 256, 176, ConvertQ5K},
    {"Q6_K", 256, 210, ConvertQ6K},  {"IQ4_NL", 32, 18, ConvertIq4Nl}, {"IQ4_XS", 256, 136, ConvertIq4Xs},
    {"MXFP4", 32, 17, ConvertMxfp4},
};

}  // namespace

const Dequantizer* FindDequantizer(const std::string& dtype) {
  for (const Dequantizer& candidate : kDequantizers) {
    if (dtype == candidate.dtype) return &candidate;
  }
  return nullptr;
}

std::string ReadableDtypes() {
  std::string names;
  for (const Dequantizer& each : kDequantizers)
    names += (names.empty() ? "" : ", ") + std::string(each.dtype);
  return names;
}

}  // namespace kvasir

#include "io/dequantize.h"

#include <bit>
#include <cstring>

#include "core/half.h"

namespace kvasir {
namespace {

static_assert(std::endian::native == std::endian::little,
              "model files are little-endian and read as they are");

uint16_t LoadU16(const uint8_t* from) {
  uint16_t value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

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

// f16 scale, 32 x s8.
void ConvertQ8_0(const uint8_t* __restrict blocks, int64_t n_blocks, float* __restrict out) {
  for (int64_t b = 0; b < n_blocks; ++b, blocks += 34, out += 32) {
    const float scale = FloatFromHalf(LoadU16(blocks));
    for (int i = 0; i < 32; ++i) out[i] = static_cast<float>(static_cast<int8_t>(blocks[2 + i])) * scale;
  }
}

// f16 scale, 16 bytes: low nibbles are values 0..15, high nibbles are values 16..31, each offset by 8.
void ConvertQ4_0(const uint8_t* __restrict blocks, int64_t n_blocks, float* __restrict out) {
  for (int64_t b = 0; b < n_blocks; ++b, blocks += 18, out += 32) {
    const float scale = FloatFromHalf(LoadU16(blocks));
    for (int i = 0; i < 16; ++i) {
      const int byte = blocks[2 + i];
      out[i] = static_cast<float>((byte & 15) - 8) * scale;
      out[16 + i] = static_cast<float>((byte >> 4) - 8) * scale;
    }
  }
}

// f16 scale, f16 minimum, 16 bytes of nibbles in the order of Q4_0, without offset.
void ConvertQ4_1(const uint8_t* __restrict blocks, int64_t n_blocks, float* __restrict out) {
  for (int64_t b = 0; b < n_blocks; ++b, blocks += 20, out += 32) {
    const float scale = FloatFromHalf(LoadU16(blocks));
    const float minimum = FloatFromHalf(LoadU16(blocks + 2));
    for (int i = 0; i < 16; ++i) {
      const int byte = blocks[4 + i];
      out[i] = static_cast<float>(byte & 15) * scale + minimum;
      out[16 + i] = static_cast<float>(byte >> 4) * scale + minimum;
    }
  }
}

constexpr Dequantizer kDequantizers[] = {
    {"F32", 1, 4, ConvertF32},     {"F16", 1, 2, ConvertF16},     {"BF16", 1, 2, ConvertBf16},
    {"F64", 1, 8, ConvertF64},     {"Q8_0", 32, 34, ConvertQ8_0}, {"Q4_0", 32, 18, ConvertQ4_0},
    {"Q4_1", 32, 20, ConvertQ4_1},
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

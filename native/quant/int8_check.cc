#include "quant/int8_check.h"

#include <cstring>

namespace kvasir {

namespace {

// Sign, or an exponent of ones. Zero and subnormal scales are fine.
bool IsBadScale(uint16_t scale) { return (scale & 0x8000u) != 0 || (scale & 0x7c00u) == 0x7c00u; }

bool HasBadScale(const Int8Block& block) {
  // Without an early exit, so that the loop becomes a few vector instructions.
  int bad = 0;
  for (const uint16_t scale : block.scales) bad |= (scale >= 0x7c00u) ? 1 : 0;
  return bad != 0;
}

bool HasZeroByte(const Int8Block& block) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(block.weights);
  uint8_t zero = 0;
  for (size_t i = 0; i < sizeof block.weights; ++i) zero |= bytes[i] == 0 ? 1 : 0;
  return zero != 0;
}

constexpr uint32_t kExponent = 0x7f800000u;

uint32_t MagnitudeBits(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits & 0x7fffffffu;
}

}  // namespace

BlockFault CheckBlocks(const Int8Block* blocks, int64_t n, int64_t* block, int64_t* column) {
  for (int64_t i = 0; i < n; ++i) {
    if (HasBadScale(blocks[i])) {
      *block = i;
      for (*column = 0; !IsBadScale(blocks[i].scales[*column]);) ++*column;
      return BlockFault::kScale;
    }
    if (HasZeroByte(blocks[i])) {
      *block = i;
      return BlockFault::kWeight;
    }
  }
  return BlockFault::kNone;
}

int64_t FirstNotFinite(const float* values, int64_t n) {
  constexpr int64_t kRun = 1024;
  for (int64_t begin = 0; begin < n; begin += kRun) {
    const int64_t end = begin + kRun < n ? begin + kRun : n;
    uint32_t largest = 0;
    for (int64_t i = begin; i < end; ++i) {
      const uint32_t bits = MagnitudeBits(values[i]);
      largest = bits > largest ? bits : largest;
    }
    if (largest < kExponent) continue;
    for (int64_t i = begin; i < end; ++i) {
      if (MagnitudeBits(values[i]) >= kExponent) return i;
    }
  }
  return n;
}

}  // namespace kvasir

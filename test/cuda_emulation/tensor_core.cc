#include "tensor_core.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <sstream>

#include "block_state.h"

namespace cuda_emulation {

// The layouts are written as the PTX ISA gives them: a group of four lanes has a row of A, a column of B, and a row of D.
Coordinate A16x32(int lane, int i) {
  return {lane / 4 + (i / 4 % 2 == 0 ? 0 : 8), lane % 4 * 4 + i % 4 + (i < 8 ? 0 : 16)};
}
Coordinate B32x8(int lane, int i) { return {lane % 4 * 4 + i % 4 + (i < 4 ? 0 : 16), lane / 4}; }
Coordinate D16x8(int lane, int i) { return {lane / 4 + (i < 2 ? 0 : 8), lane % 4 * 2 + i % 2}; }
Coordinate A8x16(int lane, int i) { return {lane / 4, lane % 4 * 4 + i}; }
Coordinate B16x8(int lane, int i) { return {lane % 4 * 4 + i, lane / 4}; }
Coordinate D8x8(int lane, int i) { return {lane / 4, lane % 4 * 2 + i}; }

namespace {

struct Fragments {
  int* d;
  const uint32_t* a;
  const uint32_t* b;
};

int Element(const uint32_t* registers, int i, bool is_unsigned) {
  const uint32_t byte = registers[i / 4] >> (i % 4 * 8) & 0xff;
  return is_unsigned ? static_cast<int>(byte) : static_cast<int8_t>(byte);
}

using Layout = Coordinate (*)(int lane, int i);

template <int kM, int kN, int kK, bool kUnsigned>
void ExecuteMma(void* const* payloads, uint32_t) {
  constexpr bool kLarge = kM == 16;
  constexpr Layout kA = kLarge ? A16x32 : A8x16;
  constexpr Layout kB = kLarge ? B32x8 : B16x8;
  constexpr Layout kD = kLarge ? D16x8 : D8x8;
  static_assert(kN == 8);
  int16_t a[kM][kK];
  int16_t b[kN][kK];
  for (int lane = 0; lane < kWarpLanes; ++lane) {
    const Fragments& fragments = *static_cast<const Fragments*>(payloads[lane]);
    for (int i = 0; i < kM * kK / kWarpLanes; ++i) {
      const Coordinate at = kA(lane, i);
      a[at.row][at.column] = static_cast<int16_t>(Element(fragments.a, i, kUnsigned));
    }
    for (int i = 0; i < kN * kK / kWarpLanes; ++i) {
      const Coordinate at = kB(lane, i);
      b[at.column][at.row] = static_cast<int16_t>(Element(fragments.b, i, false));
    }
  }
  for (int lane = 0; lane < kWarpLanes; ++lane) {
    const Fragments& fragments = *static_cast<const Fragments*>(payloads[lane]);
    for (int i = 0; i < kM * kN / kWarpLanes; ++i) {
      const Coordinate at = kD(lane, i);
      int sum = 0;
      for (int k = 0; k < kK; ++k) sum += a[at.row][k] * b[at.column][k];
      // Wraps as the instruction does without .satfinite.
      fragments.d[i] = static_cast<int>(static_cast<uint32_t>(fragments.d[i]) + static_cast<uint32_t>(sum));
    }
  }
}

}  // namespace

void Mma16x8x32(bool a_unsigned, int* d, const uint32_t* a, const uint32_t* b, Site site) {
  Fragments fragments{d, a, b};
  Collective(0xffffffffu, a_unsigned ? ExecuteMma<16, 8, 32, true> : ExecuteMma<16, 8, 32, false>, &fragments,
             site);
}

void Mma8x8x16(bool a_unsigned, int* d, const uint32_t* a, const uint32_t* b, Site site) {
  Fragments fragments{d, a, b};
  Collective(0xffffffffu, a_unsigned ? ExecuteMma<8, 8, 16, true> : ExecuteMma<8, 8, 16, false>, &fragments,
             site);
}

float HalfToFloat(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16;
  const uint32_t exponent = half >> 10 & 31;
  const uint32_t mantissa = half & 0x3ff;
  if (exponent == 0) {
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return sign == 0 ? magnitude : -magnitude;
  }
  const uint32_t top = exponent == 31 ? 255 : exponent + 112;
  return std::bit_cast<float>(sign | top << 23 | mantissa << 13);
}

uint16_t HalfFromFloat(float value) {
  if (std::isnan(value)) return 0x7fff;
  const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  const double magnitude = std::fabs(static_cast<double>(value));
  if (magnitude >= 65520)
    return static_cast<uint16_t>(sign | 0x7c00);  // the tie above 65,504 rounds to even: infinity
  // Halves are multiples of 2^-24 below 2^-14, and of 2^(e - 10) from 2^e on. Dividing by that step is exact in double,
  // and nearbyint rounds ties to even.
  const int exponent = std::max(magnitude == 0 ? -14 : std::ilogb(magnitude), -14);
  const double steps = std::nearbyint(std::ldexp(magnitude, 10 - exponent));
  const int bits = static_cast<int>(steps) + (exponent + 14) * 1024;  // a carry goes on into the exponent
  return static_cast<uint16_t>(sign | bits);
}

void CopyAsync(const SharedArray* array, int64_t offset, const void* from, bool valid) {
  if (valid && reinterpret_cast<uintptr_t>(from) % 16 != 0) {
    Fault("copies 16 bytes from an address that is not aligned to them");
  }
  BeginCopyToShared(array, offset, 16);
  running->copies.push_back({array, offset, valid ? from : nullptr, 0});
}

void CopyAsyncCommitGroup() {
  Thread& self = *running;
  if (self.copies.empty() && self.copy_groups == 0) return;
  ++self.copy_groups;
  for (PendingCopy& copy : self.copies) {
    if (copy.group == 0) copy.group = self.copy_groups;
  }
}

void CopyAsyncWaitGroup(int pending) {
  Thread& self = *running;
  const auto done = [&](const PendingCopy& copy) {
    return copy.group != 0 && copy.group + pending <= self.copy_groups;
  };
  constexpr std::array<unsigned char, 16> kZeros{};
  for (const PendingCopy& copy : self.copies) {
    if (done(copy))
      EndCopyToShared(copy.array, copy.offset, copy.from == nullptr ? kZeros.data() : copy.from, 16);
  }
  std::erase_if(self.copies, done);
}

}  // namespace cuda_emulation

// Blocks of quantized values against float64 oracles that read one value at a time, straight from the formats' definitions.
#include <cmath>
#include <cstring>
#include <random>

#include "io/dequantize.h"
#include "testing/io_files.h"
#include "testing/native_tests.h"

namespace kvasir::testing {
namespace {

using Block = const uint8_t*;

double HalfAt(Block at) {
  const int half = at[0] | at[1] << 8;
  const int exponent = half >> 10 & 31;
  const double mantissa = half & 1023;
  const double magnitude =
      exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25);
  return half >> 15 ? -magnitude : magnitude;
}

int Signed(uint8_t byte) { return byte < 128 ? byte : byte - 256; }
int Bit(Block bytes, int i) { return bytes[i / 8] >> i % 8 & 1; }
// Value i of 32 whose low and high nibbles are the halves.
int Nibble(Block bytes, int i) { return i < 16 ? bytes[i] & 15 : bytes[i - 16] >> 4; }

double Q4_0(Block b, int i) { return HalfAt(b) * (Nibble(b + 2, i) - 8); }
double Q4_1(Block b, int i) { return HalfAt(b) * Nibble(b + 4, i) + HalfAt(b + 2); }
double Q5_0(Block b, int i) { return HalfAt(b) * (Nibble(b + 6, i) + 16 * Bit(b + 2, i) - 16); }
double Q5_1(Block b, int i) { return HalfAt(b) * (Nibble(b + 8, i) + 16 * Bit(b + 4, i)) + HalfAt(b + 2); }
double Q8_0(Block b, int i) { return HalfAt(b) * Signed(b[2 + i]); }

// A value of 2 bits, of 64 bytes: of each 32 bytes the lowest bits are 32 values, then the next.
int TwoBits(Block bytes, int i) { return bytes[i / 128 * 32 + i % 32] >> (i / 32 % 4 * 2) & 3; }

double Q2K(Block b, int i) {
  const int both = b[i / 16];
  return HalfAt(b + 80) * (both % 16) * TwoBits(b + 16, i) - HalfAt(b + 82) * (both / 16);
}

double Q3K(Block b, int i) {
  const int run = i / 16;
  const Block packed = b + 96;
  const int low = run < 8 ? packed[run] & 15 : packed[run - 8] >> 4;
  const int scale = low + 16 * (packed[8 + run % 4] >> (run / 4 * 2) & 3) - 32;
  const int third = b[i % 32] >> i / 32 & 1;
  return HalfAt(b + 108) * scale * (TwoBits(b + 32, i) - (third ? 0 : 4));
}

// Six bits of scale or minimum `run` of Q4_K and Q5_K.
int SixBits(Block packed, int run, bool minimum) {
  const int offset = minimum ? 4 : 0;
  if (run < 4) return packed[offset + run] % 64;
  const int low = minimum ? packed[4 + run] / 16 : packed[4 + run] % 16;
  return low + 16 * (packed[offset + run - 4] / 64);
}

int RunNibble(Block bytes, int i) { return bytes[i / 64 * 32 + i % 32] >> (i / 32 % 2 * 4) & 15; }

double Q4K(Block b, int i) {
  const double scale = HalfAt(b) * SixBits(b + 4, i / 32, false);
  return scale * RunNibble(b + 16, i) - HalfAt(b + 2) * SixBits(b + 4, i / 32, true);
}

double Q5K(Block b, int i) {
  const double scale = HalfAt(b) * SixBits(b + 4, i / 32, false);
  const int value = RunNibble(b + 48, i) + 16 * (b[16 + i % 32] >> i / 32 & 1);
  return scale * value - HalfAt(b + 2) * SixBits(b + 4, i / 32, true);
}

double Q6K(Block b, int i) {
  const int low = b[i / 128 * 64 + i % 64] >> (i / 64 % 2 * 4) & 15;
  return HalfAt(b + 208) * Signed(b[192 + i / 16]) * (low + 16 * TwoBits(b + 128, i) - 32);
}

constexpr int kNonLinear[] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

double Iq4Nl(Block b, int i) { return HalfAt(b) * kNonLinear[Nibble(b + 2, i)]; }

double Iq4Xs(Block b, int i) {
  const int run = i / 32;
  const int low = b[4 + run / 2] >> (run % 2 * 4) & 15;
  const int high = (b[2] | b[3] << 8) >> (2 * run) & 3;
  return HalfAt(b) * (low + 16 * high - 32) * kNonLinear[Nibble(b + 8 + run * 16, i % 32)];
}

double Mxfp4(Block b, int i) {
  constexpr double kE2m1[] = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
  const int code = Nibble(b + 1, i);
  return std::ldexp(code < 8 ? kE2m1[code] : -kE2m1[code - 8], b[0] - 127);
}

struct Case {
  const char* dtype;
  int elements;
  std::vector<int> halves;  // where a block has them
  double (*value)(Block block, int i);
};

const std::vector<Case>& Cases() {
  static const std::vector<Case> cases = {
      {"Q4_0", 32, {0}, Q4_0},    {"Q4_1", 32, {0, 2}, Q4_1}, {"Q5_0", 32, {0}, Q5_0},
      {"Q5_1", 32, {0, 2}, Q5_1}, {"Q8_0", 32, {0}, Q8_0},    {"Q2_K", 256, {80, 82}, Q2K},
      {"Q3_K", 256, {108}, Q3K},  {"Q4_K", 256, {0, 2}, Q4K}, {"Q5_K", 256, {0, 2}, Q5K},
      {"Q6_K", 256, {208}, Q6K},  {"IQ4_NL", 32, {0}, Iq4Nl}, {"IQ4_XS", 256, {0}, Iq4Xs},
      {"MXFP4", 32, {}, Mxfp4},
  };
  return cases;
}

// Finite halves (exponent below 31), zero and subnormal ones among them; of MXFP4 each exponent whose values are finite.
std::vector<uint8_t> RandomBlocks(const Case& each, size_t block_bytes, size_t n_blocks) {
  std::mt19937 random(static_cast<uint32_t>(block_bytes));
  std::vector<uint8_t> bytes(n_blocks * block_bytes);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
  for (size_t b = 0; b < n_blocks; ++b) {
    uint8_t* block = &bytes[b * block_bytes];
    if (each.halves.empty()) block[0] = static_cast<uint8_t>(b % 253);
    for (const int at : each.halves) {
      if ((block[at + 1] & 0x7c) == 0x7c) block[at + 1] &= 0x8f;
      if (b % 7 == 3) block[at + 1] &= 0x83;
      if (b % 7 == 4) block[at] = 0, block[at + 1] &= 0x80;
    }
  }
  return bytes;
}

void CheckCase(const Case& each) {
  const Dequantizer* dequantizer = FindDequantizer(each.dtype);
  if (dequantizer == nullptr)
    return Fail(__FILE__, __LINE__, std::string("no dequantizer for ") + each.dtype);
  KV_EXPECT_EQ(dequantizer->block_elements, each.elements);
  const auto block_bytes = static_cast<size_t>(dequantizer->block_bytes);
  const auto elements = static_cast<size_t>(each.elements);
  for (const size_t n_blocks : {size_t{1}, size_t{2}, size_t{333}}) {
    const std::vector<uint8_t> bytes = RandomBlocks(each, block_bytes, n_blocks);
    std::vector<float> out(n_blocks * elements + 1, -1e30f);
    // An odd address: blocks lie where the file has them.
    std::vector<uint8_t> shifted(bytes.size() + 1);
    std::copy(bytes.begin(), bytes.end(), shifted.begin() + 1);
    dequantizer->convert(shifted.data() + 1, static_cast<int64_t>(n_blocks), out.data());
    for (size_t i = 0; i < n_blocks * elements; ++i) {
      // Products are exact in float32 and sums in float64: one rounding to float is all there is.
      const double exact = each.value(&bytes[i / elements * block_bytes], static_cast<int>(i % elements));
      if (out[i] == static_cast<float>(exact)) continue;
      return Fail(__FILE__, __LINE__, std::string(each.dtype) + ": value " + std::to_string(i));
    }
    KV_EXPECT_EQ(out.back(), -1e30f);
  }
}

KV_TEST(block_types_are_what_their_definitions_say) {
  for (const Case& each : Cases()) CheckCase(each);
}

// So that a load refuses them: no scale that is no number is lost on the way, wherever a block has it.
KV_TEST(block_types_keep_scales_that_are_no_numbers) {
  for (const Case& each : Cases()) {
    const Dequantizer& dequantizer = *FindDequantizer(each.dtype);
    for (const int at : each.halves) {
      for (const int half : {0x7c00, 0xfc00, 0x7e00, 0xfc01}) {
        std::vector<uint8_t> block(static_cast<size_t>(dequantizer.block_bytes), 0x5b);
        for (const int other : each.halves) block[static_cast<size_t>(other) + 1] = 0x3c;
        block[static_cast<size_t>(at)] = static_cast<uint8_t>(half);
        block[static_cast<size_t>(at) + 1] = static_cast<uint8_t>(half >> 8);
        std::vector<float> out(static_cast<size_t>(each.elements));
        dequantizer.convert(block.data(), 1, out.data());
        for (const float value : out) KV_EXPECT(!std::isfinite(value));
      }
    }
  }
  // The greatest exponent of MXFP4: 2^128 times 2 or more is infinite.
  std::vector<uint8_t> block(17, 0x77);
  block[0] = 255;
  std::vector<float> out(32);
  FindDequantizer("MXFP4")->convert(block.data(), 1, out.data());
  for (const float value : out) KV_EXPECT(std::isinf(value));
}

}  // namespace
}  // namespace kvasir::testing

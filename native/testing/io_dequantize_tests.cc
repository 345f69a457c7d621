// Dequantizers against float64 oracles that read one value at a time, straight from the formats' definitions.
#include <cmath>
#include <cstring>
#include <random>

#include "core/half.h"
#include "io/dequantize.h"
#include "testing/io_files.h"
#include "testing/native_tests.h"

namespace kvasir::testing {
namespace {

double HalfValue(uint16_t half) {
  const int exponent = half >> 10 & 31;
  const double mantissa = half & 1023;
  const double magnitude =
      exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25);
  return half >> 15 ? -magnitude : magnitude;
}

double HalfAt(const std::vector<uint8_t>& bytes, size_t at) {
  return HalfValue(static_cast<uint16_t>(bytes[at] | bytes[at + 1] << 8));
}

int Nibble(const std::vector<uint8_t>& bytes, size_t begin, size_t i) {
  return i < 16 ? bytes[begin + i] & 15 : bytes[begin + i - 16] >> 4;
}

double OracleQ8_0(const std::vector<uint8_t>& bytes, size_t block, size_t i) {
  const int q = bytes[block * 34 + 2 + i];
  return HalfAt(bytes, block * 34) * (q < 128 ? q : q - 256);
}

double OracleQ4_0(const std::vector<uint8_t>& bytes, size_t block, size_t i) {
  return HalfAt(bytes, block * 18) * (Nibble(bytes, block * 18 + 2, i) - 8);
}

double OracleQ4_1(const std::vector<uint8_t>& bytes, size_t block, size_t i) {
  // The product of f16 and 4 bits is exact in f32: only the sum rounds.
  return HalfAt(bytes, block * 20) * Nibble(bytes, block * 20 + 4, i) + HalfAt(bytes, block * 20 + 2);
}

using Oracle = double (*)(const std::vector<uint8_t>& bytes, size_t block, size_t i);

// Random blocks with finite scales (exponent below 31), zero and subnormal ones among them.
std::vector<uint8_t> RandomBlocks(const Dequantizer& dequantizer, int n_half_fields, size_t n_blocks) {
  std::mt19937 random(static_cast<uint32_t>(dequantizer.block_bytes));
  const auto block_bytes = static_cast<size_t>(dequantizer.block_bytes);
  std::vector<uint8_t> bytes(n_blocks * block_bytes);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
  for (size_t b = 0; b < n_blocks; ++b) {
    for (int field = 0; field < n_half_fields; ++field) {
      uint8_t* high = &bytes[b * block_bytes + static_cast<size_t>(field) * 2 + 1];
      if ((*high & 0x7c) == 0x7c) *high &= 0x8f;
      if (b % 7 == 3) *high &= 0x83;
    }
  }
  return bytes;
}

void CheckBlocks(const char* dtype, int n_half_fields, Oracle oracle) {
  const Dequantizer* dequantizer = FindDequantizer(dtype);
  if (dequantizer == nullptr) return Fail(__FILE__, __LINE__, std::string("no dequantizer for ") + dtype);
  for (const size_t n_blocks : {size_t{1}, size_t{2}, size_t{333}}) {
    const std::vector<uint8_t> bytes = RandomBlocks(*dequantizer, n_half_fields, n_blocks);
    std::vector<float> out(n_blocks * 32 + 1, -1e30f);
    // An odd address: blocks lie where the file has them.
    std::vector<uint8_t> shifted(bytes.size() + 1);
    std::copy(bytes.begin(), bytes.end(), shifted.begin() + 1);
    dequantizer->convert(shifted.data() + 1, static_cast<int64_t>(n_blocks), out.data());
    for (size_t i = 0; i < n_blocks * 32; ++i) {
      // Exact in double (multiples of 2^-24 below 2^21), so that one rounding to float is all there is.
      KV_EXPECT_EQ(out[i], static_cast<float>(oracle(bytes, i / 32, i % 32)));
    }
    KV_EXPECT_EQ(out.back(), -1e30f);
  }
}

KV_TEST(dequantize_q8_0) { CheckBlocks("Q8_0", 1, OracleQ8_0); }
KV_TEST(dequantize_q4_0) { CheckBlocks("Q4_0", 1, OracleQ4_0); }
KV_TEST(dequantize_q4_1) { CheckBlocks("Q4_1", 2, OracleQ4_1); }

KV_TEST(dequantize_every_f16_and_bf16) {
  std::vector<uint8_t> bytes(65536 * 2);
  for (uint32_t i = 0; i < 65536; ++i) {
    const auto half = static_cast<uint16_t>(i);
    std::memcpy(&bytes[i * 2], &half, 2);
  }
  std::vector<float> f16(65536);
  std::vector<float> bf16(65536);
  FindDequantizer("F16")->convert(bytes.data(), 65536, f16.data());
  FindDequantizer("BF16")->convert(bytes.data(), 65536, bf16.data());
  for (uint32_t i = 0; i < 65536; ++i) {
    const auto half = static_cast<uint16_t>(i);
    // Bits, so that NaN payloads and the sign of zero count.
    KV_EXPECT_EQ(BitsFromFloat(f16[i]), BitsFromFloat(FloatFromHalf(half)));
    if ((half & 0x7c00) != 0x7c00) KV_EXPECT_EQ(static_cast<double>(f16[i]), HalfValue(half));
    KV_EXPECT_EQ(BitsFromFloat(bf16[i]), i << 16);
  }
  KV_EXPECT(std::isnan(f16[0x7e00]) && std::isinf(f16[0x7c00]) && f16[0xfc00] < 0);
}

KV_TEST(dequantize_floats) {
  const std::string f32 = FloatBytes({1.25f, -0.0f, INFINITY});
  float out[3];
  FindDequantizer("F32")->convert(reinterpret_cast<const uint8_t*>(f32.data()), 3, out);
  KV_EXPECT(out[0] == 1.25f && std::signbit(out[1]) && std::isinf(out[2]));
  const std::string f64 = Bytes(1e-3) + Bytes(1e300) + Bytes(-2.5);
  FindDequantizer("F64")->convert(reinterpret_cast<const uint8_t*>(f64.data()), 3, out);
  KV_EXPECT(out[0] == 1e-3f && std::isinf(out[1]) && out[2] == -2.5f);
  KV_EXPECT(FindDequantizer("Q4_K") == nullptr);
}

}  // namespace
}  // namespace kvasir::testing

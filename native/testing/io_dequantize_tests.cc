// Plain floats of all sizes against float64 oracles, straight from the formats' definitions.
#include <cmath>
#include <cstring>

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
  for (const char* dtype : {"IQ1_S", "IQ2_XXS", "IQ3_S", "TQ1_0", "NVFP4", "I8", "F8_E5M2", "ggml type 31"}) {
    KV_EXPECT(FindDequantizer(dtype) == nullptr);
  }
}

KV_TEST(dequantize_every_f8) {
  std::vector<uint8_t> bytes(256);
  for (int i = 0; i < 256; ++i) bytes[static_cast<size_t>(i)] = static_cast<uint8_t>(i);
  std::vector<float> e4m3(256), e8m0(256);
  FindDequantizer("F8_E4M3")->convert(bytes.data(), 256, e4m3.data());
  FindDequantizer("F8_E8M0")->convert(bytes.data(), 256, e8m0.data());
  for (int i = 0; i < 256; ++i) {
    const auto at = static_cast<size_t>(i);
    const int exponent = i >> 3 & 15, mantissa = i & 7;
    const double magnitude =
        exponent == 0 ? std::ldexp(mantissa, -9) : std::ldexp(8 + mantissa, exponent - 10);
    if ((i & 127) == 127) {
      KV_EXPECT(std::isnan(e4m3[at]));
    } else {
      KV_EXPECT_EQ(static_cast<double>(e4m3[at]), i < 128 ? magnitude : -magnitude);
      KV_EXPECT_EQ(std::signbit(e4m3[at]), i >= 128);
    }
    if (i < 255) KV_EXPECT_EQ(static_cast<double>(e8m0[at]), std::ldexp(1.0, i - 127));
  }
  KV_EXPECT(std::isnan(e8m0[255]));
}

}  // namespace
}  // namespace kvasir::testing

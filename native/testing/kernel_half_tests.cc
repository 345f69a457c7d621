// binary16: all 65,536 values, and the ties between them, in portable code and in every table's instructions.
#include <cmath>

#include "backend/cpu/kernel_select.h"
#include "core/half.h"
#include "testing/kernel_inputs.h"
#include "testing/native_tests.h"

namespace kvasir::testing {
namespace {

constexpr uint32_t kHalves = 65536;
constexpr uint16_t kHalfInfinity = 0x7c00;

bool IsHalfNan(uint32_t half) { return (half & 0x7fff) > kHalfInfinity; }

// From the definition: sign, 5 bits of exponent, 10 of mantissa.
double HalfValue(uint32_t half) {
  const int exponent = half >> 10 & 31;
  const double mantissa = half & 1023;
  const double magnitude = exponent == 31  ? HUGE_VAL
                           : exponent == 0 ? std::ldexp(mantissa, -24)
                                           : std::ldexp(1024 + mantissa, exponent - 25);
  return half >> 15 ? -magnitude : magnitude;
}

// The nearest half, ties to even: the value in steps of its binade, rounded by nearbyint.
uint16_t NearestHalf(float value) {
  const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  const double magnitude = std::abs(static_cast<double>(value));
  if (magnitude == 0) return sign;
  if (magnitude >= 65520) return sign | kHalfInfinity;
  int exponent;
  std::frexp(magnitude, &exponent);
  const int step = std::max(exponent - 11, -24);
  const double steps = std::nearbyint(std::ldexp(magnitude, -step));
  // The bits count steps: 1024 of them in each binade, the subnormals' being the first.
  const int binade = step + 24;
  const int bits = binade == 0 ? static_cast<int>(steps) : static_cast<int>(steps) + binade * 1024;
  return static_cast<uint16_t>(sign | bits);
}

KV_TEST(kernel_half_to_float_is_exact) {
  for (uint32_t half = 0; half < kHalves; ++half) {
    const float value = FloatFromHalf(static_cast<uint16_t>(half));
    if (IsHalfNan(half)) {
      KV_EXPECT(std::isnan(value));
    } else {
      KV_EXPECT(value == HalfValue(half) && std::signbit(value) == (half >> 15 != 0));
    }
  }
}

// Each half, the tie above it, and the floats beside both.
KV_TEST(kernel_float_to_half_rounds_to_nearest_even) {
  for (uint32_t half = 0; half < kHalves; ++half) {
    if (IsHalfNan(half)) {
      KV_EXPECT(IsHalfNan(HalfFromFloat(FloatFromHalf(static_cast<uint16_t>(half)))));
      continue;
    }
    const float value = static_cast<float>(HalfValue(half));
    KV_EXPECT_EQ(HalfFromFloat(value), half);
    if ((half & 0x7fff) >= kHalfInfinity) continue;
    const double next = (half & 0x7fff) == 0x7bff ? std::copysign(65536, value) : HalfValue(half + 1);
    const float tie = static_cast<float>((value + next) / 2);
    for (const float center : {value, tie}) {
      for (const float x : {std::nextafter(center, -1e9f), center, std::nextafter(center, 1e9f)}) {
        KV_EXPECT_EQ(HalfFromFloat(x), NearestHalf(x));
      }
    }
  }
  Random random(41);
  for (int i = 0; i < 100000; ++i) {
    const float x = std::ldexp(random.Bell(), static_cast<int>(random.Integer(-40, 20)));
    KV_EXPECT_EQ(HalfFromFloat(x), NearestHalf(x));
  }
  KV_EXPECT_EQ(HalfFromFloat(HUGE_VALF), kHalfInfinity);
  KV_EXPECT_EQ(HalfFromFloat(-1e30f), uint16_t{0xfc00});
}

// Each half, the ties and the floats beside both, as a KV cache of binary16 stores them.
KV_TEST(kernel_tables_round_rows_to_half) {
  for (const cpu::KernelTable* table : cpu::AvailableKernels()) {
    for (uint32_t half = 0; half < kHalfInfinity; ++half) {
      const float value = static_cast<float>(HalfValue(half));
      const float next = half == 0x7bff ? 65536.0f : static_cast<float>(HalfValue(half + 1));
      const float tie = (value + next) / 2;
      float x[16] = {};
      uint16_t out[16];
      const float cases[] = {value, tie, std::nextafter(tie, 0.0f), std::nextafter(tie, 1e9f)};
      for (size_t i = 0; i < 4; ++i) x[i] = cases[i], x[15 - i] = -cases[i];
      table->round_to_half(x, 16, out);
      for (size_t i = 0; i < 16; ++i) KV_EXPECT_EQ(out[i], NearestHalf(x[i]));
    }
    const float beyond[16] = {HUGE_VALF, -HUGE_VALF, 65504, 65519, 65520, -1e30f, 1e-45f, NAN};
    uint16_t out[16];
    table->round_to_half(beyond, 16, out);
    for (size_t i = 0; i < 16; ++i) {
      KV_EXPECT(std::isnan(beyond[i]) ? IsHalfNan(out[i]) : out[i] == NearestHalf(beyond[i]));
    }
  }
}

// A row with one weight w rotates to +-w / 8, so its scale is (w / 8) / 127, and exact for w = 127 * 8 * half.
// A subnormal one is rounded up: nothing may exceed 127 steps.
uint16_t ScaleHalf(float scale) {
  const uint16_t nearest = NearestHalf(scale);
  const double value = HalfValue(nearest);
  return static_cast<uint16_t>(nearest + (value < 0x1p-14 && value < static_cast<double>(scale) ? 1 : 0));
}

KV_TEST(kernel_tables_round_scales_to_the_nearest_half) {
  for (const cpu::KernelTable* table : cpu::AvailableKernels()) {
    for (uint32_t first = 0; first < kHalfInfinity; first += kPanelColumns) {
      for (const double between : {0.0, 0.25, 0.5}) {
        float weights[kPanelColumns];
        for (uint32_t i = 0; i < kPanelColumns; ++i) {
          const double low = HalfValue(first + i),
                       high = first + i == 0x7bff ? 65536 : HalfValue(first + i + 1);
          weights[i] = static_cast<float>(127 * 8 * (low + (high - low) * between));
        }
        Int8Block block;
        table->pack_panel_s8(weights, kPanelColumns, 1, &block);
        for (uint32_t i = 0; i < kPanelColumns; ++i) {
          KV_EXPECT_EQ(block.scales[i], ScaleHalf(weights[i] / 8 / 127));
        }
      }
    }
  }
}

// One group whose dot product is 1: the output is the scale itself.
KV_TEST(kernel_tables_read_every_half) {
  for (const cpu::KernelTable* table : cpu::AvailableKernels()) {
    std::vector<int> x(kGroup, 0);
    x[0] = 1;
    std::vector<uint8_t> values = StoreQuantized(x, table->quantized_bytes);
    float scale = 1, out[kPanelColumns];
    int32_t start = -kWeightOffset, start_of_sums = start;
    Int8Block block = {};
    for (auto& column : block.weights[0]) column[0] = kWeightOffset + 1;
    for (uint32_t first = 0; first < kHalves; first += kPanelColumns) {
      for (uint32_t i = 0; i < kPanelColumns; ++i) block.scales[i] = static_cast<uint16_t>(first + i);
      table->linear_s8({{values.data(), &scale, &start, &start_of_sums, 1},
                        1,
                        &block,
                        {out, kPanelColumns, nullptr, kPanelColumns, false}});
      for (uint32_t i = 0; i < kPanelColumns; ++i) {
        const bool nan = IsHalfNan(first + i);
        KV_EXPECT(nan ? std::isnan(out[i]) : out[i] == HalfValue(first + i));
      }
    }
  }
}

}  // namespace
}  // namespace kvasir::testing

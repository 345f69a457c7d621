// Quantization of activations, weights and heads: every table against the scalar one byte for byte, the scalar one
// against float64.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "backend/cpu/kernel_select.h"
#include "core/half.h"
#include "testing/kernel_inputs.h"
#include "testing/native_tests.h"

namespace kvasir::testing {
namespace {

using cpu::KernelTable;

const int64_t kWidths[] = {1, 15, 16, 17, 63, 64, 65, 96, 127, 128, 191, 576};
constexpr int32_t kGarbage = -77;

struct Groups {
  std::vector<int> values;
  std::vector<float> scales;
  std::vector<int32_t> start;
};

bool Same(const Groups& a, const Groups& b) {
  return a.values == b.values && a.start == b.start && BitDifference(a.scales, b.scales).empty();
}

int32_t StartOfSums(const Groups& row, size_t group) {
  int32_t start = row.start[group];
  for (size_t k = group * kGroup; k < (group + 1) * kGroup; ++k) {
    if (k % 4 < 2) start -= row.values[k] * row.values[k + 2];
  }
  return start;
}

// Only the avx2 table multiplies sums.
void ExpectStartOfSums(const KernelTable& table, const Groups& row, const std::vector<int32_t>& actual) {
  if (std::string(table.name) != "avx2") {
    KV_EXPECT(actual == std::vector<int32_t>(actual.size(), kGarbage));
    return;
  }
  std::vector<int32_t> expected;
  for (size_t g = 0; g < row.start.size(); ++g) expected.push_back(StartOfSums(row, g));
  KV_EXPECT(actual == expected);
}

// One row of x [n][row_tile][of_group] as the table orders it; nothing else may have been written.
template <typename T>
std::vector<T> RowOfTile(const std::vector<T>& x, size_t row, size_t tile, size_t of_group, T garbage) {
  std::vector<T> out;
  for (size_t i = 0; i < x.size(); ++i) {
    if (i / of_group % tile == row) {
      out.push_back(x[i]);
    } else {
      KV_EXPECT(x[i] == garbage);
    }
  }
  return out;
}

// As row 0 of its tile, or as a later one.
Groups QuantizeRow(const KernelTable& table, const std::vector<float>& x, bool rotate) {
  const size_t groups = (x.size() + kGroup - 1) / kGroup, tile = static_cast<size_t>(table.row_tile);
  const size_t row = x.size() % tile, bytes = static_cast<size_t>(table.quantized_bytes);
  constexpr uint8_t kByte = 0x5a;
  std::vector<uint8_t> values(groups * tile * kGroup * bytes, kByte);
  std::vector<float> scales(groups * tile, kGarbage);
  std::vector<int32_t> start(groups * tile, kGarbage), start_of_sums = start;
  const int64_t n = static_cast<int64_t>(x.size());
  table.quantize_rows(x.data(), n, 1, n, rotate,
                      {values.data() + row * kGroup * bytes, scales.data() + row, start.data() + row,
                       start_of_sums.data() + row, static_cast<int64_t>(groups)});
  const Groups out = {
      LoadQuantized(RowOfTile(values, row, tile, kGroup * bytes, kByte), table.quantized_bytes),
      RowOfTile<float>(scales, row, tile, 1, kGarbage), RowOfTile<int32_t>(start, row, tile, 1, kGarbage)};
  ExpectStartOfSums(table, out, RowOfTile<int32_t>(start_of_sums, row, tile, 1, kGarbage));
  return out;
}

Groups QuantizeHead(const KernelTable& table, const std::vector<float>& x) {
  std::vector<uint8_t> values(x.size() * static_cast<size_t>(table.quantized_bytes));
  Groups out{{}, {kGarbage}, {kGarbage}};
  table.quantize_head(x.data(), static_cast<int64_t>(x.size()), values.data(), out.scales.data(),
                      out.start.data());
  out.values = LoadQuantized(values, table.quantized_bytes);
  return out;
}

Groups QuantizeHeadS8(const KernelTable& table, const std::vector<float>& x) {
  std::vector<int8_t> values(x.size());
  Groups out{{}, {kGarbage}, {}};
  table.quantize_head_s8(x.data(), static_cast<int64_t>(x.size()), values.data(), out.scales.data());
  out.values.assign(values.begin(), values.end());
  return out;
}

// One group of exact values: scale = amax / 127, each value within half a step. `slack` bounds the error of the values
// that the kernel saw.
void ExpectQuantized(const std::vector<double>& exact, const int* values, float scale, double slack) {
  double amax = 0;
  for (const double x : exact) amax = std::max(amax, std::abs(x));
  // 127 / amax overflows: such a group counts as zeros.
  const bool vanishes = amax < 127 / 3.4e38;
  KV_EXPECT(std::abs(scale - amax / 127) <= slack / 127 + 2 * kUnit * amax / 127 + 0x1p-149);
  for (size_t i = 0; i < exact.size(); ++i) {
    KV_EXPECT(values[i] >= -127 && values[i] <= 127);
    const double step = scale * (0.5 + 127 * 4 * kUnit);
    KV_EXPECT(std::abs(values[i] * static_cast<double>(scale) - exact[i]) <=
              (vanishes ? amax : step) + slack);
  }
}

// 6 butterfly stages and a scaling; every output is a signed sum of the 64 inputs, divided by 8.
double RotationSlack(const std::vector<float>& group) {
  double magnitude = 0;
  for (const float x : group) magnitude += std::abs(x);
  return Gamma(7) * magnitude / 8 + 0x1p-145;
}

KV_TEST(kernel_quantize_row_is_within_half_a_step) {
  Random random(21);
  for (const int64_t n : kWidths) {
    for (int pattern = 0; pattern < kPatterns; ++pattern) {
      const std::vector<float> x = Values(random, n, static_cast<Pattern>(pattern));
      for (const bool rotate : {false, true}) {
        const Groups q = QuantizeRow(cpu::ScalarKernels(), x, rotate);
        for (size_t g = 0; g < q.scales.size(); ++g) {
          std::vector<float> group(kGroup, 0.0f);
          const size_t count = std::min<size_t>(kGroup, x.size() - g * kGroup);
          std::copy_n(x.begin() + static_cast<int64_t>(g * kGroup), count, group.begin());
          const int* values = q.values.data() + g * kGroup;
          ExpectQuantized(
              rotate ? RotatedBlocks(group, kGroup) : std::vector<double>(group.begin(), group.end()), values,
              q.scales[g], rotate ? RotationSlack(group) : 0);
          KV_EXPECT_EQ(q.start[g], -kWeightOffset * std::accumulate(values, values + kGroup, 0));
        }
      }
    }
  }
}

KV_TEST(kernel_quantize_row_equals_scalar) {
  for (const KernelTable* table : OtherKernels()) {
    Random random(22);
    for (const int64_t n : kWidths) {
      for (int pattern = 0; pattern < kPatterns; ++pattern) {
        std::vector<float> x = Values(random, n, static_cast<Pattern>(pattern));
        for (const bool rotate : {false, true}) {
          KV_EXPECT(Same(QuantizeRow(*table, x, rotate), QuantizeRow(cpu::ScalarKernels(), x, rotate)));
        }
        // What is not finite is garbage, but the same garbage.
        const float special[] = {NAN, INFINITY, -INFINITY, -0.0f};
        x[static_cast<size_t>(random.Integer(0, n - 1))] = special[pattern % 4];
        KV_EXPECT(Same(QuantizeRow(*table, x, false), QuantizeRow(cpu::ScalarKernels(), x, false)));
      }
    }
  }
}

// Rows that are quantized together are what each is alone, and nothing else is written.
KV_TEST(kernel_quantize_rows_together_equal_one_by_one) {
  Random random(29);
  for (const KernelTable* table : cpu::AvailableKernels()) {
    const size_t tile = static_cast<size_t>(table->row_tile),
                 bytes = static_cast<size_t>(table->quantized_bytes);
    for (const int64_t n : kWidths) {
      for (int rows = 2; rows <= cpu::kQuantizedRows; ++rows) {
        const size_t groups = static_cast<size_t>((n + kGroup - 1) / kGroup), ld = static_cast<size_t>(n) + 3;
        const size_t first = tile == 1 ? 0 : 4,
                     places = groups * (tile == 1 ? static_cast<size_t>(rows) : tile);
        std::vector<float> x = Matrix(random, rows, static_cast<int64_t>(ld));
        x[static_cast<size_t>(random.Integer(0, n - 1))] = NAN;
        constexpr uint8_t kByte = 0x5a;
        std::vector<uint8_t> values(places * kGroup * bytes, kByte);
        std::vector<float> scales(places, kGarbage);
        std::vector<int32_t> start(places, kGarbage), start_of_sums = start;
        table->quantize_rows(
            x.data(), static_cast<int64_t>(ld), rows, n, true,
            {values.data() + first * kGroup * bytes, scales.data() + first, start.data() + first,
             start_of_sums.data() + first, static_cast<int64_t>(groups)});
        std::vector<uint8_t> expected_values(values.size(), kByte);
        std::vector<float> expected_scales(places, kGarbage);
        std::vector<int32_t> expected_start(places, kGarbage), expected_sums = expected_start;
        for (int row = 0; row < rows; ++row) {
          const auto begin = x.begin() + static_cast<int64_t>(ld) * row;
          const Groups alone = QuantizeRow(*table, {begin, begin + n}, true);
          const std::vector<uint8_t> stored = StoreQuantized(alone.values, table->quantized_bytes);
          for (size_t g = 0; g < groups; ++g) {
            const size_t r = static_cast<size_t>(row);
            const size_t at = tile == 1 ? r * groups + g : g * tile + first + r;
            std::copy_n(stored.begin() + static_cast<int64_t>(g * kGroup * bytes), kGroup * bytes,
                        expected_values.begin() + static_cast<int64_t>(at * kGroup * bytes));
            expected_scales[at] = alone.scales[g];
            expected_start[at] = alone.start[g];
            if (std::string(table->name) == "avx2") expected_sums[at] = StartOfSums(alone, g);
          }
        }
        KV_EXPECT(values == expected_values && start == expected_start && start_of_sums == expected_sums);
        KV_EXPECT_EQ(BitDifference(scales, expected_scales), "");
      }
    }
  }
}

KV_TEST(kernel_quantize_row_comparison_sees_one_value) {
  Random random(23);
  for (const int64_t n : kWidths) {
    std::vector<float> x = random.Bells(n);
    for (const bool rotate : {false, true}) {
      const Groups before = QuantizeRow(cpu::ScalarKernels(), x, rotate);
      x[static_cast<size_t>(random.Integer(0, n - 1))] += 0.5f;
      KV_EXPECT(!Same(QuantizeRow(cpu::ScalarKernels(), x, rotate), before));
    }
  }
}

KV_TEST(kernel_quantize_head_is_within_half_a_step) {
  Random random(24);
  for (int64_t n = 16; n <= cpu::kMaxHeadDim; n += 16) {
    for (int pattern = 0; pattern < kPatterns; ++pattern) {
      const std::vector<float> x = Values(random, n, static_cast<Pattern>(pattern));
      const Groups wide = QuantizeHead(cpu::ScalarKernels(), x),
                   plain = QuantizeHeadS8(cpu::ScalarKernels(), x);
      ExpectQuantized({x.begin(), x.end()}, wide.values.data(), wide.scales[0], 0);
      KV_EXPECT_EQ(wide.start[0],
                   -kWeightOffset * std::accumulate(wide.values.begin(), wide.values.end(), 0));
      KV_EXPECT(plain.values == wide.values && plain.scales == wide.scales);
    }
  }
}

KV_TEST(kernel_quantize_head_equals_scalar) {
  for (const KernelTable* table : OtherKernels()) {
    Random random(25);
    for (int64_t n = 16; n <= cpu::kMaxHeadDim; n += 16) {
      for (int pattern = 0; pattern < kPatterns; ++pattern) {
        std::vector<float> x = Values(random, n, static_cast<Pattern>(pattern));
        const Groups wide = QuantizeHead(cpu::ScalarKernels(), x),
                     plain = QuantizeHeadS8(cpu::ScalarKernels(), x);
        KV_EXPECT(Same(QuantizeHead(*table, x), wide));
        KV_EXPECT(Same(QuantizeHeadS8(*table, x), plain));
        float& value = x[static_cast<size_t>(random.Integer(0, n - 1))];
        value = value * 2 + 10;
        KV_EXPECT(!Same(QuantizeHead(*table, x), wide));
        KV_EXPECT(!Same(QuantizeHeadS8(*table, x), plain));
      }
    }
  }
}

std::vector<Int8Block> Pack(const KernelTable& table, const std::vector<float>& weights, int64_t n_rows) {
  const int64_t k = static_cast<int64_t>(weights.size()) / n_rows;
  std::vector<Int8Block> panel(static_cast<size_t>((k + kGroup - 1) / kGroup));
  std::memset(panel.data(), 0x5a, panel.size() * sizeof(Int8Block));
  table.pack_panel_s8(weights.data(), n_rows, k, panel.data());
  return panel;
}

bool Same(const std::vector<Int8Block>& a, const std::vector<Int8Block>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(Int8Block)) == 0;
}

// Rows of every pattern, huge ones (an infinite binary16 scale) and denormal ones (scale 0) too.
std::vector<float> AllPatterns(Random& random, int64_t rows, int64_t k) {
  std::vector<float> weights;
  for (int64_t row = 0; row < rows; ++row) {
    const std::vector<float> values =
        Values(random, k, static_cast<Pattern>(random.Integer(0, kPatterns - 1)));
    weights.insert(weights.end(), values.begin(), values.end());
  }
  return weights;
}

// One group of a packed row against its exact values.
void ExpectPacked(const Int8Block& block, int64_t row, const std::vector<float>& group) {
  const std::vector<double> exact = RotatedBlocks(group, kGroup);
  const double scale = FloatFromHalf(block.scales[row]), slack = RotationSlack(group);
  double amax = 0;
  for (const double x : exact) amax = std::max(amax, std::abs(x));
  // binary16 has 11 bits; the largest value is clamped where the scale was rounded down. Subnormal scales are 2^-24
  // apart and rounded up, so nothing is clamped there: the error is at most half a step, and that is what is left of
  // groups whose largest value is below 127 * 2^-24.
  const bool subnormal = scale < 0x1p-14;
  KV_EXPECT(std::abs(scale - amax / 127) <=
            (subnormal ? 0x1p-24 : (amax / 127 + slack) * 0x1.01p-11) + slack);
  const double clamped = subnormal ? 0 : std::max(0.0, amax - 127 * scale);
  for (int j = 0; j < kGroup; ++j) {
    const int q = block.weights[j / 4][row][j % 4] - kWeightOffset;
    KV_EXPECT(q >= -127 && q <= 127);
    KV_EXPECT(std::abs(q * scale - exact[static_cast<size_t>(j)]) <= scale * 0.50001 + clamped + slack);
  }
}

// The accuracy that docs/int8-format.md states: 1 / 254 of the largest value of a group and binary16's rounding, or 2^-25.
KV_TEST(kernel_pack_panel_keeps_small_weights) {
  Random random(28);
  for (int exponent = -2; exponent >= -40; --exponent) {
    std::vector<float> weights = random.Bells(kGroup);
    for (float& weight : weights) weight = std::ldexp(weight, exponent);
    const std::vector<Int8Block> panel = Pack(cpu::ScalarKernels(), weights, 1);
    ExpectPacked(panel[0], 0, weights);
    const std::vector<double> exact = RotatedBlocks(weights, kGroup);
    double amax = 0, worst = 0;
    for (const double x : exact) amax = std::max(amax, std::abs(x));
    for (int j = 0; j < kGroup; ++j) {
      const double value = (panel[0].weights[j / 4][0][j % 4] - kWeightOffset) *
                           static_cast<double>(FloatFromHalf(panel[0].scales[0]));
      worst = std::max(worst, std::abs(value - exact[static_cast<size_t>(j)]));
    }
    KV_EXPECT(worst <= amax / 254 * (1 + 0x1p-4) + 0x1p-25);
  }
}

KV_TEST(kernel_pack_panel_keeps_weights_within_half_a_step) {
  Random random(26);
  for (const int64_t k : kWidths) {
    for (const int64_t rows : {1, 15, 16, 31, 32}) {
      const std::vector<float> weights = Matrix(random, rows, k);
      const std::vector<Int8Block> panel = Pack(cpu::ScalarKernels(), weights, rows);
      for (int64_t i = 0; i < static_cast<int64_t>(panel.size()) * kPanelColumns; ++i) {
        const Int8Block& block = panel[static_cast<size_t>(i / kPanelColumns)];
        const int64_t row = i % kPanelColumns, base = i / kPanelColumns * kGroup;
        std::vector<float> group(kGroup, 0.0f);
        if (row < rows)
          std::copy_n(weights.begin() + row * k + base, std::min<int64_t>(kGroup, k - base), group.begin());
        ExpectPacked(block, row, group);
        if (row >= rows) KV_EXPECT(block.scales[row] == 0 && block.weights[3][row][1] == kWeightOffset);
      }
    }
  }
}

KV_TEST(kernel_pack_panel_equals_scalar) {
  for (const KernelTable* table : OtherKernels()) {
    Random random(27);
    for (const int64_t k : kWidths) {
      for (const int64_t rows : {1, 2, 15, 16, 17, 31, 32}) {
        std::vector<float> weights = AllPatterns(random, rows, k);
        const std::vector<Int8Block> expected = Pack(cpu::ScalarKernels(), weights, rows);
        KV_EXPECT(Same(Pack(*table, weights, rows), expected));
        float& weight = weights[static_cast<size_t>(random.Integer(0, rows * k - 1))];
        weight = weight * 2 + 10;
        // A group so large that its scale is infinite loses its values.
        if (std::abs(weight) < 1e7f) KV_EXPECT(!Same(Pack(*table, weights, rows), expected));
      }
    }
  }
}

}  // namespace
}  // namespace kvasir::testing

// Matrix products: every table against the scalar one by bits, the scalar one against float64 (f32) and against exact
// integer sums (INT8).
#include <algorithm>
#include <cmath>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/kernel_select.h"
#include "core/half.h"
#include "testing/kernel_inputs.h"
#include "testing/native_tests.h"

namespace kvasir::testing {
namespace {

using cpu::KernelTable;

// What both products have in common: the panel's epilogue and its shape.
struct Shape {
  int64_t rows;
  int64_t k;
  int n_valid;
  bool with_bias;
  bool accumulate;
};

// Every row count up to more than one full tile of each table, k around vector and group widths; the other
// parameters run through their values in step.
std::vector<Shape> Shapes() {
  std::vector<Shape> shapes;
  const int widths[] = {1, 15, 16, 17, 31, 32};
  for (int64_t rows = 1; rows <= 13; ++rows) {
    for (const int64_t k : {1, 2, 3, 15, 16, 17, 63, 64, 65, 127, 128, 129, 191, 300}) {
      const size_t i = shapes.size();
      shapes.push_back({rows, k, widths[i % 6], i % 2 == 0, i % 3 == 0});
    }
  }
  // Around tiles of 16 rows, and wider than the groups of which half a panel is made signed at a time.
  for (const int64_t rows : {15, 16, 17, 31, 32, 33}) {
    for (const int64_t k : {64, 65, 200, 24 * 64, 25 * 64, 50 * 64 - 1}) {
      const size_t i = shapes.size();
      shapes.push_back({rows, k, widths[(i + i / 6) % 6], i % 2 == 0, i % 3 == 0});
    }
  }
  for (const int64_t rows : {33, 273}) {
    for (const int n_valid : {31, 32}) {
      shapes.push_back({rows, 25 * 64, n_valid, false, n_valid == 32});
      shapes.push_back({rows, 50 * 64 - 1, n_valid, n_valid == 31, rows == 33});
    }
  }
  // Around the blocks of 48 rows, and of 256.
  for (const int64_t rows : {47, 48, 49, 98, 255, 273}) shapes.push_back({rows, 129, 32, true, true});
  return shapes;
}

struct Case {
  Shape shape;
  int64_t ld_out;
  std::vector<float> bias;    // [32]
  std::vector<float> before;  // [rows, ld_out]: what the output holds first

  cpu::Epilogue Into(float* out) const {
    return {out, ld_out, shape.with_bias ? bias.data() : nullptr, shape.n_valid, shape.accumulate};
  }
};

Case MakeCase(Random& random, const Shape& shape) {
  Case c{shape, kPanelColumns + 5, random.Bells(kPanelColumns, 0.3f), {}};
  c.before = random.Bells(shape.rows * c.ld_out);
  return c;
}

struct F32Case : Case {
  std::vector<float> x;      // [rows, k + 3]
  std::vector<float> panel;  // [k, 32]
};

F32Case MakeF32(Random& random, const Shape& shape) {
  F32Case c{MakeCase(random, shape), Matrix(random, shape.rows, shape.k + 3), {}};
  c.panel = random.Bells(shape.k * kPanelColumns);
  return c;
}

std::vector<float> Run(const KernelTable& table, const F32Case& c) {
  std::vector<float> out = c.before;
  table.linear_f32({c.x.data(), c.shape.k + 3, c.shape.rows, c.shape.k, c.panel.data(), c.Into(out.data())});
  return out;
}

// Places that no column of the panel covers must stay: their tolerance is 0.
std::string FarFromOracle(const F32Case& c) {
  std::vector<double> expected(c.before.begin(), c.before.end()), tolerance(c.before.size());
  for (int64_t row = 0; row < c.shape.rows; ++row) {
    for (int64_t column = 0; column < c.shape.n_valid; ++column) {
      double sum = 0, magnitude = 0;
      const auto add = [&](double term) {
        sum += term;
        magnitude += std::abs(term);
      };
      for (int64_t k = 0; k < c.shape.k; ++k) {
        const double x = c.x[static_cast<size_t>(row * (c.shape.k + 3) + k)];
        add(x * c.panel[static_cast<size_t>(k * kPanelColumns + column)]);
      }
      const size_t at = static_cast<size_t>(row * c.ld_out + column);
      if (c.shape.with_bias) add(c.bias[static_cast<size_t>(column)]);
      if (c.shape.accumulate) add(c.before[at]);
      expected[at] = sum;
      tolerance[at] = Gamma(static_cast<double>(c.shape.k) + 2) * magnitude;
    }
  }
  return Excess(Run(cpu::ScalarKernels(), c), expected, tolerance);
}

KV_TEST(kernel_linear_f32_is_the_float64_product) {
  Random random(1);
  for (const Shape& shape : Shapes()) KV_EXPECT_EQ(FarFromOracle(MakeF32(random, shape)), "");
}

KV_TEST(kernel_linear_f32_equals_scalar) {
  for (const KernelTable* table : OtherKernels()) {
    Random random(2);
    for (const Shape& shape : Shapes()) {
      F32Case c = MakeF32(random, shape);
      const std::vector<float> expected = Run(cpu::ScalarKernels(), c);
      KV_EXPECT_EQ(BitDifference(Run(*table, c), expected), "");
      // The comparison sees one weight.
      c.panel[static_cast<size_t>(random.Integer(0, shape.k - 1) * kPanelColumns + shape.n_valid - 1)] +=
          0.25f;
      KV_EXPECT(BitDifference(Run(*table, c), expected) != "");
    }
  }
}

struct S8Case : Case {
  int64_t groups;
  std::vector<int> x;          // [rows, groups * 64]
  std::vector<float> scales;   // [rows, groups]
  std::vector<int32_t> start;  // [rows, groups]
  std::vector<Int8Block> panel;
};

S8Case MakeS8(Random& random, const Shape& shape) {
  const int64_t groups = (shape.k + kGroup - 1) / kGroup;
  S8Case c{MakeCase(random, shape), groups, {}, {}, {}, std::vector<Int8Block>(static_cast<size_t>(groups))};
  for (int64_t i = 0; i < shape.rows * groups; ++i) {
    // Saturated groups against saturated weights reach the largest sum there is, 64 * 127 * 127.
    const bool saturated = random.Integer(0, 2) == 0, zero = random.Integer(0, 9) == 0;
    int32_t sum = 0;
    for (int j = 0; j < kGroup; ++j) {
      const int64_t value = saturated ? random.Integer(0, 1) * 254 - 127 : random.Integer(-127, 127);
      c.x.push_back(zero ? 0 : static_cast<int>(value));
      sum += c.x.back();
    }
    c.start.push_back(-kWeightOffset * sum);
    c.scales.push_back(zero ? 0.0f : random.Uniform(1e-3f, 2));
  }
  for (Int8Block& block : c.panel) {
    for (int column = 0; column < kPanelColumns; ++column) {
      const int64_t kind = random.Integer(0, 3);
      for (int j = 0; j < kGroup; ++j) {
        const int64_t value = kind == 0   ? random.Integer(0, 1) * 254
                              : kind == 1 ? 254
                                          : random.Integer(0, 254);
        block.weights[j / 4][column][j % 4] = static_cast<uint8_t>(value + 1);
      }
      block.scales[column] = HalfFromFloat(random.Integer(0, 9) == 0 ? 3e-7f : random.Uniform(1e-3f, 1));
    }
  }
  return c;
}

// [rows][groups][n] to the table's order (QuantizedRows). What pads the last tile is garbage.
template <typename T>
std::vector<T> InTiles(const std::vector<T>& x, const S8Case& c, int64_t tile, int64_t n, T garbage) {
  const int64_t tiles = (c.shape.rows + tile - 1) / tile;
  std::vector<T> out(static_cast<size_t>(tiles * tile * c.groups * n), garbage);
  for (int64_t row = 0; row < c.shape.rows; ++row) {
    for (int64_t g = 0; g < c.groups; ++g) {
      const int64_t to = (row / tile * c.groups + g) * tile + row % tile;
      std::copy_n(x.begin() + (row * c.groups + g) * n, n, out.begin() + to * n);
    }
  }
  return out;
}

std::vector<float> Run(const KernelTable& table, const S8Case& c) {
  std::vector<int32_t> start_of_sums = c.start;
  for (size_t k = 0; k < c.x.size(); ++k) {
    if (k % 4 < 2) start_of_sums[k / kGroup] -= c.x[k] * c.x[k + 2];
  }
  const int64_t tile = table.row_tile, group_bytes = kGroup * table.quantized_bytes;
  std::vector<uint8_t> values =
      InTiles<uint8_t>(StoreQuantized(c.x, table.quantized_bytes), c, tile, group_bytes, 0x5a);
  std::vector<float> scales = InTiles<float>(c.scales, c, tile, 1, NAN);
  std::vector<int32_t> start = InTiles<int32_t>(c.start, c, tile, 1, 1 << 30);
  std::vector<int32_t> sums = InTiles<int32_t>(start_of_sums, c, tile, 1, 1 << 30);
  std::vector<float> out = c.before;
  const cpu::KernelScope scope(table, c.shape.rows);
  table.linear_s8({{values.data(), scales.data(), start.data(), sums.data(), c.groups},
                   c.shape.rows,
                   c.panel.data(),
                   c.Into(out.data()),
                   c.panel.data()});
  return out;
}

// The format's definition: exact sums, float32 only where the format says so.
std::vector<float> Oracle(const S8Case& c) {
  std::vector<float> out = c.before;
  for (int64_t row = 0; row < c.shape.rows; ++row) {
    for (int column = 0; column < c.shape.n_valid; ++column) {
      float sum = 0;
      for (int64_t g = 0; g < c.groups; ++g) {
        const Int8Block& block = c.panel[static_cast<size_t>(g)];
        int64_t dot = 0;
        for (int j = 0; j < kGroup; ++j) {
          dot += static_cast<int64_t>(c.x[static_cast<size_t>((row * c.groups + g) * kGroup + j)]) *
                 (block.weights[j / 4][column][j % 4] - kWeightOffset);
        }
        const float scale =
            c.scales[static_cast<size_t>(row * c.groups + g)] * FloatFromHalf(block.scales[column]);
        sum = std::fma(static_cast<float>(dot), scale, sum);
      }
      const size_t at = static_cast<size_t>(row * c.ld_out + column);
      if (c.shape.with_bias) sum += c.bias[static_cast<size_t>(column)];
      out[at] = c.shape.accumulate ? out[at] + sum : sum;
    }
  }
  return out;
}

KV_TEST(kernel_linear_s8_is_the_exact_integer_product) {
  std::vector<const KernelTable*> tables = OtherKernels();
  tables.push_back(&cpu::ScalarKernels());
  for (const KernelTable* table : tables) {
    Random random(3);
    for (const Shape& shape : Shapes()) {
      const S8Case c = MakeS8(random, shape);
      KV_EXPECT_EQ(BitDifference(Run(*table, c), Oracle(c)), "");
    }
  }
}

KV_TEST(kernel_linear_s8_comparison_sees_each_part) {
  Random random(4);
  for (const Shape& shape : Shapes()) {
    S8Case c = MakeS8(random, shape);
    const int column = static_cast<int>(random.Integer(0, shape.n_valid - 1));
    Int8Block& block = c.panel[static_cast<size_t>(random.Integer(0, c.groups - 1))];
    // Without zeros that would hide a perturbation.
    c.x.assign(c.x.size(), 127);
    c.start.assign(c.start.size(), -kWeightOffset * kGroup * 127);
    c.scales.assign(c.scales.size(), 0.5f);
    for (auto& quad : block.weights) std::fill_n(quad[column], 4, uint8_t{200});
    block.scales[column] = HalfFromFloat(0.25f);
    const std::vector<float> expected = Oracle(c);
    const auto differs = [&] { return BitDifference(Run(cpu::ScalarKernels(), c), expected) != ""; };
    block.scales[column] = static_cast<uint16_t>(block.scales[column] + 0x400);  // twice the scale
    KV_EXPECT(differs());
    block.scales[column] = static_cast<uint16_t>(block.scales[column] - 0x400);
    KV_EXPECT(!differs());
    c.start[static_cast<size_t>(random.Integer(0, shape.rows * c.groups - 1))] += 1 << 20;
    KV_EXPECT(differs());
  }
}

// A row's result must not depend on the rows beside it.
KV_TEST(kernel_linear_rows_are_independent) {
  constexpr int64_t kRows = 21;
  for (const KernelTable* table : cpu::AvailableKernels()) {
    Random random(5);
    const F32Case f = MakeF32(random, {kRows, 65, 32, true, false});
    const S8Case s = MakeS8(random, {kRows, 191, 32, true, false});
    const std::vector<float> all_f = Run(*table, f), all_s = Run(*table, s);
    for (int64_t row = 0; row < kRows; ++row) {
      const int64_t begin = row * f.ld_out, end = begin + f.ld_out;
      F32Case f1 = f;
      f1.shape.rows = 1;
      f1.x.assign(f.x.begin() + row * 68, f.x.begin() + (row + 1) * 68);
      f1.before.assign(f.before.begin() + begin, f.before.begin() + end);
      KV_EXPECT_EQ(BitDifference(Run(*table, f1), {all_f.begin() + begin, all_f.begin() + end}), "");
      S8Case s1 = s;
      s1.shape.rows = 1;
      s1.x.assign(s.x.begin() + row * 192, s.x.begin() + (row + 1) * 192);
      s1.scales.assign(s.scales.begin() + row * 3, s.scales.begin() + (row + 1) * 3);
      s1.start.assign(s.start.begin() + row * 3, s.start.begin() + (row + 1) * 3);
      s1.before.assign(s.before.begin() + begin, s.before.begin() + end);
      KV_EXPECT_EQ(BitDifference(Run(*table, s1), {all_s.begin() + begin, all_s.begin() + end}), "");
    }
  }
}

}  // namespace
}  // namespace kvasir::testing

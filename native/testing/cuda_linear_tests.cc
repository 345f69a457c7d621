// The CUDA linears against the CPU's scalar backend, bit by bit: each kernel for each shape class, whatever the dispatch
// would choose.
#include <algorithm>
#include <functional>
#include <utility>

#include "backend/cpu.h"
#include "backend/cpu/linear_input.h"
#include "backend/cuda/kernels.h"
#include "backend/cuda/linear_f32.h"
#include "backend/cuda/linear_s8.h"
#include "core/half.h"
#include "testing/cuda_device_array.h"
#include "testing/kernel_inputs.h"
#include "testing/native_tests.h"

namespace kvasir::testing {
namespace {

struct Shape {
  int64_t rows, n, k;
};

// Around one panel (16), a block of panels (32), tiles of 32, 64 and 128, groups of 64 and chunks of 8 and 16 groups.
std::vector<Shape> Shapes() {
  std::vector<Shape> shapes = {{1, 1, 1},     {1, 17, 1200}, {2, 33, 65},   {3, 16, 1025},  {4, 40, 64},
                               {5, 15, 130},  {8, 65, 1000}, {9, 32, 191},  {13, 31, 640},  {16, 7, 513},
                               {17, 48, 127}, {31, 96, 63},  {33, 33, 192}, {40, 100, 320}, {65, 16, 129},
                               {100, 64, 64}, {129, 70, 200}};
  if (kSanitized) shapes.resize(13);
  return shapes;
}

// What both products have in common. The output is wider than n: places beside it must stay.
struct Case {
  Shape shape;
  int64_t ld_out;
  bool accumulate;
  std::vector<float> bias;    // [n padded to 32], or empty
  std::vector<float> before;  // [rows, ld_out]
};

Case MakeCase(Random& random, const Shape& shape, size_t i) {
  Case c{shape, shape.n + static_cast<int64_t>(i % 2) * 3 + 2, i % 3 != 1, {}, {}};
  if (i % 4 < 2) c.bias = random.Bells((shape.n + 31) / 32 * 32, 0.3f);
  c.before = random.Bells(shape.rows * c.ld_out);
  return c;
}

struct S8Case : Case {
  int64_t groups;
  std::vector<int8_t> x;          // [rows, groups * 64]
  std::vector<float> scales;      // [rows, groups]
  std::vector<Int8Block> blocks;  // [ceil(n / 32), groups]
};

// Saturated groups against saturated weights reach the largest sum there is; some groups and scales are zero.
S8Case MakeS8(Random& random, const Shape& shape, size_t i) {
  const int64_t groups = (shape.k + kGroup - 1) / kGroup, panels = (shape.n + 31) / 32;
  S8Case c{MakeCase(random, shape, i),
           groups,
           {},
           {},
           std::vector<Int8Block>(static_cast<size_t>(panels * groups))};
  for (int64_t g = 0; g < shape.rows * groups; ++g) {
    const bool saturated = random.Integer(0, 2) == 0, zero = random.Integer(0, 9) == 0;
    for (int j = 0; j < kGroup; ++j) {
      const int64_t value = saturated ? random.Integer(0, 1) * 254 - 127 : random.Integer(-127, 127);
      c.x.push_back(static_cast<int8_t>(zero ? 0 : value));
    }
    c.scales.push_back(zero ? 0.0f : random.Uniform(1e-3f, 2));
  }
  for (Int8Block& block : c.blocks) {
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

std::vector<float> OnCpu(Backend& cpu, const LinearWeight& weight, const LinearInput& x, const Case& c) {
  std::vector<float> out = c.before;
  cpu.Linear(weight, x, c.shape.rows, out.data(), c.ld_out, c.accumulate);
  return out;
}

std::unique_ptr<Backend> Cpu() { return MakeCpuBackend(1, "scalar", 1, 16); }

std::vector<float> OnCpu(const S8Case& c) {
  S8Case copy = c;
  const std::unique_ptr<Backend> cpu = Cpu();
  std::vector<uint8_t> data(
      static_cast<size_t>(cpu->LinearInputBytes(Dtype::kInt8, c.shape.rows, c.shape.k)));
  const LinearInput x = {
      .dtype = Dtype::kInt8, .width = c.shape.k, .rows = c.shape.rows, .data = data.data()};
  const cpu::QuantizedRows rows = cpu::GroupAt(cpu::ScalarKernels(), x, 0, 0);
  std::copy(c.x.begin(), c.x.end(), static_cast<int8_t*>(rows.values));
  std::copy(c.scales.begin(), c.scales.end(), rows.scales);
  for (size_t g = 0; g < c.scales.size(); ++g) {
    int32_t sum = 0;
    for (size_t j = 0; j < kGroup; ++j) sum += c.x[g * kGroup + j];
    rows.start[g] = -kWeightOffset * sum;
  }
  return OnCpu(*cpu,
               {.dtype = Dtype::kInt8,
                .n = c.shape.n,
                .k = c.shape.k,
                .panels = copy.blocks.data(),
                .bias = copy.bias.empty() ? nullptr : copy.bias.data()},
               x, copy);
}

// A case in device memory, with the weights as the device likes them.
class S8OnDevice {
 public:
  explicit S8OnDevice(const S8Case& c)
      : c_(c),
        blocks_(c.blocks),
        packed_(c.blocks),
        x_(c.x),
        scales_(c.scales),
        bias_(c.bias),
        out_(c.before) {
    weight_ = {.dtype = Dtype::kInt8,
               .n = c.shape.n,
               .k = c.shape.k,
               .panels = packed_.data(),
               .bias = c.bias.empty() ? nullptr : bias_.data()};
    cuda::RepackInt8(blocks_.data(), 0, (c.shape.n + kPanelColumns - 1) / kPanelColumns, weight_, nullptr);
  }
  std::vector<float> Linear() {
    out_.Write(c_.before);
    cuda::Linear(weight_,
                 {.dtype = Dtype::kInt8, .width = c_.shape.k, .values = x_.data(), .scales = scales_.data()},
                 c_.shape.rows, out_.data(), c_.ld_out, c_.accumulate, nullptr);
    return out_.Read();
  }
  template <typename Kernel>
  std::vector<float> Run(const Kernel& kernel) {
    out_.Write(c_.before);
    kernel(cuda::LinearS8Args{.w = cuda::Int8LinearOf(weight_),
                              .x = x_.data(),
                              .scales = scales_.data(),
                              .rows = c_.shape.rows,
                              .bias = weight_.bias,
                              .out = out_.data(),
                              .ld_out = c_.ld_out,
                              .n = c_.shape.n,
                              .accumulate = c_.accumulate});
    return out_.Read();
  }

 private:
  const S8Case& c_;
  DeviceArray<Int8Block> blocks_, packed_;
  DeviceArray<int8_t> x_;
  DeviceArray<float> scales_, bias_, out_;
  LinearWeight weight_;
};

void ExpectS8(const char* kernel_name, const std::function<void(const cuda::LinearS8Args&)>& kernel,
              const std::vector<Shape>& shapes) {
  Random random(11);
  for (size_t i = 0; i < shapes.size(); ++i) {
    const S8Case c = MakeS8(random, shapes[i], i);
    const std::vector<float> expected = OnCpu(c);
    WithThreadOrders([&] {
      const std::string difference = BitDifference(S8OnDevice(c).Run(kernel), expected);
      KV_EXPECT_EQ(
          difference.empty() ? "" : kernel_name + (" shape " + std::to_string(i) + ": ") + difference, "");
    });
  }
}

KV_TEST(cuda_gemv_s8_equals_the_cpu) {
  ExpectS8("gemv", [](const cuda::LinearS8Args& args) { cuda::GemvS8(args, nullptr); },
           {{1, 1, 1},
            {1, 33, 65},
            {1, 17, 1200},
            {2, 40, 130},
            {2, 7, 2100},
            {3, 16, 1025},
            {4, 31, 64},
            {4, 70, 1000}});
}

KV_TEST(cuda_gemm_thin_s8_equals_the_cpu) {
  ExpectS8("thin", [](const cuda::LinearS8Args& args) { cuda::GemmThinS8(args, nullptr); },
           {{1, 1, 1},
            {5, 15, 130},
            {7, 33, 600},
            {8, 65, 1000},
            {9, 32, 191},
            {16, 31, 64},
            {17, 17, 513},
            {40, 16, 65}});
}

KV_TEST(cuda_gemm_s8_equals_the_cpu) {
  using cuda::GemmTile;
  for (const GemmTile tile : {GemmTile::k128x64, GemmTile::k64x64, GemmTile::k32x32}) {
    ExpectS8("gemm", [=](const cuda::LinearS8Args& args) { cuda::GemmS8(tile, args, nullptr); },
             {{1, 1, 1},
              {33, 33, 192},
              {31, 70, 63},
              {65, 16, 129},
              {64, 64, 64},
              {129, 65, 320},
              {20, 100, 200}});
  }
}

KV_TEST(cuda_linear_s8_equals_the_cpu) {
  Random random(12);
  const std::vector<Shape> shapes = Shapes();
  for (size_t i = 0; i < shapes.size(); ++i) {
    const S8Case c = MakeS8(random, shapes[i], i);
    const std::vector<float> expected = OnCpu(c);
    WithThreadOrders([&] { KV_EXPECT_EQ(BitDifference(S8OnDevice(c).Linear(), expected), ""); });
  }
}

// One weight, scale or value of x must show, in the first and in the last place of the product.
KV_TEST(cuda_linear_s8_comparison_sees_each_part) {
  Random random(13);
  cuda_emulation::ResetDevice();
  for (const Shape& shape :
       {Shape{1, 33, 130}, {4, 16, 65}, {7, 40, 600}, {16, 17, 64}, {40, 33, 129}, {129, 64, 65}}) {
    S8Case c = MakeS8(random, shape, 0);
    // Without zeros that would hide a perturbation.
    c.x.assign(c.x.size(), 127);
    c.scales.assign(c.scales.size(), 0.5f);
    for (Int8Block& block : c.blocks) {
      std::fill_n(&block.weights[0][0][0], sizeof block.weights, uint8_t{200});
      std::fill_n(block.scales, kPanelColumns, HalfFromFloat(0.25f));
    }
    const std::vector<float> expected = OnCpu(c);
    const auto differs = [&] { return !BitDifference(S8OnDevice(c).Linear(), expected).empty(); };
    KV_EXPECT(!differs());
    for (const bool at_end : {false, true}) {
      Int8Block& block = at_end ? c.blocks.back() : c.blocks.front();
      const int64_t column = at_end ? (shape.n - 1) % 32 : 0, group_end = (shape.k - 1) % kGroup;
      uint8_t& weight = block.weights[at_end ? group_end / 4 : 0][column][at_end ? group_end % 4 : 0];
      weight ^= 1;
      KV_EXPECT(differs());
      weight ^= 1;
      block.scales[column] ^= 0x400;  // another power of two
      KV_EXPECT(differs());
      block.scales[column] ^= 0x400;
      int8_t& x = at_end ? c.x.back() : c.x.front();
      x = 126;
      KV_EXPECT(differs());
      x = 127;
      float& scale = at_end ? c.scales.back() : c.scales.front();
      scale = 0.25f;
      KV_EXPECT(differs());
      scale = 0.5f;
    }
    KV_EXPECT(!differs());
  }
}

struct F32Case : Case {
  std::vector<float> x;       // [rows, k]
  std::vector<float> panels;  // [ceil(n / 32)][k][32]
};

F32Case MakeF32(Random& random, const Shape& shape, size_t i) {
  F32Case c{MakeCase(random, shape, i), Matrix(random, shape.rows, shape.k), {}};
  c.panels = random.Bells((shape.n + 31) / 32 * 32 * shape.k);
  return c;
}

std::vector<float> OnCpu(const F32Case& c) {
  F32Case copy = c;
  return OnCpu(*Cpu(),
               {.dtype = Dtype::kF32,
                .n = c.shape.n,
                .k = c.shape.k,
                .panels = copy.panels.data(),
                .bias = copy.bias.empty() ? nullptr : copy.bias.data()},
               {.dtype = Dtype::kF32, .width = c.shape.k, .rows = c.shape.rows, .f32 = copy.x.data()}, copy);
}

template <typename Kernel>
std::vector<float> OnDevice(const F32Case& c, const Kernel& kernel) {
  DeviceArray<float> panels(c.panels), x(c.x), bias(c.bias), out(c.before);
  kernel(cuda::LinearF32Args{.panels = panels.data(),
                             .x = x.data(),
                             .rows = c.shape.rows,
                             .k = c.shape.k,
                             .bias = c.bias.empty() ? nullptr : bias.data(),
                             .out = out.data(),
                             .ld_out = c.ld_out,
                             .n = c.shape.n,
                             .accumulate = c.accumulate});
  return out.Read();
}

KV_TEST(cuda_linear_f32_equals_the_cpu) {
  Random random(14);
  const std::vector<Shape> shapes = Shapes();
  for (size_t i = 0; i < shapes.size(); ++i) {
    const F32Case c = MakeF32(random, shapes[i], i);
    const std::vector<float> expected = OnCpu(c);
    WithThreadOrders([&] {
      for (const auto& kernel : {cuda::GemvF32, cuda::GemmF32}) {
        KV_EXPECT_EQ(BitDifference(OnDevice(c, [&](const auto& args) { kernel(args, nullptr); }), expected),
                     "");
      }
    });
  }
}

KV_TEST(cuda_linear_f32_comparison_sees_each_part) {
  Random random(15);
  cuda_emulation::ResetDevice();
  for (const Shape& shape : {Shape{1, 33, 130}, {7, 16, 65}, {40, 33, 129}}) {
    F32Case c = MakeF32(random, shape, 2);
    c.x.assign(c.x.size(), 1.0f);
    const std::vector<float> expected = OnCpu(c);
    const auto differs = [&] {
      const auto linear = [](const cuda::LinearF32Args& args) { cuda::LinearF32(args, nullptr); };
      return !BitDifference(OnDevice(c, linear), expected).empty();
    };
    KV_EXPECT(!differs());
    float& weight = c.panels[c.panels.size() - 32 + static_cast<size_t>((shape.n - 1) % 32)];
    weight += 0.25f;
    KV_EXPECT(differs());
    weight -= 0.25f;
    c.x.back() = 2;
    KV_EXPECT(differs());
  }
}

// A row's bits do not depend on the rows beside it, so neither on which kernel their number chooses.
KV_TEST(cuda_linear_rows_are_independent) {
  cuda_emulation::ResetDevice();
  Random random(16);
  S8Case all = MakeS8(random, {70, 40, 191}, 2);
  const std::vector<float> expected = S8OnDevice(all).Linear();
  for (const int64_t rows : {1, 4, 6, 12, 35}) {
    S8Case some = all;
    some.shape.rows = rows;
    some.x.resize(static_cast<size_t>(rows * all.groups * kGroup));
    some.scales.resize(static_cast<size_t>(rows * all.groups));
    some.before.resize(static_cast<size_t>(rows * all.ld_out));
    KV_EXPECT_EQ(
        BitDifference(S8OnDevice(some).Linear(), {expected.begin(), expected.begin() + rows * all.ld_out}),
        "");
  }
}

}  // namespace
}  // namespace kvasir::testing

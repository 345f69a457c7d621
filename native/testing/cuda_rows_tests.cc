// The CUDA work on single rows against the CPU's scalar backend: float32 bits and quantized bytes with `==`.
#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "backend/cpu.h"
#include "backend/cpu/linear_input.h"
#include "backend/cuda/kernels.h"
#include "core/half.h"
#include "testing/cuda_device_array.h"
#include "testing/kernel_inputs.h"
#include "testing/native_tests.h"

namespace kvasir::testing {
namespace {

const int64_t kWidths[] = {1, 15, 16, 17, 63, 64, 65, 96, 127, 128, 191, 576};
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::unique_ptr<Backend> Cpu() { return MakeCpuBackend(1, "scalar", 1, 16); }

// Rows as they leave an op: float32 (empty when the op does not write it), bytes and scales (empty for float32).
struct Rows {
  std::vector<float> f32;
  std::vector<int8_t> values;
  std::vector<float> scales;
};

std::string Difference(const Rows& actual, const Rows& expected) {
  const std::string in_f32 = BitDifference(actual.f32, expected.f32);
  if (!in_f32.empty()) return "f32: " + in_f32;
  for (size_t i = 0; i < expected.values.size(); ++i) {
    if (actual.values[i] == expected.values[i]) continue;
    return "byte " + std::to_string(i) + ": " + std::to_string(actual.values[i]) +
           " != " + std::to_string(expected.values[i]);
  }
  return BitDifference(actual.scales, expected.scales);
}

// The CPU's outputs; `op` gets activations of the dtype and float32 scratch rows.
template <typename Op>
Rows OnCpu(Dtype dtype, int64_t rows, int64_t width, const Op& op) {
  const size_t groups = static_cast<size_t>(rows * ((width + kGroup - 1) / kGroup));
  Rows out{std::vector<float>(static_cast<size_t>(rows * width)), {}, {}};
  const std::unique_ptr<Backend> cpu = Cpu();
  std::vector<uint8_t> data(static_cast<size_t>(cpu->LinearInputBytes(dtype, rows, width)));
  LinearInput input = {
      .dtype = dtype, .width = width, .rows = rows, .f32 = out.f32.data(), .data = data.data()};
  op(*cpu, &input, out.f32.data());
  if (dtype == Dtype::kF32) return out;
  const cpu::QuantizedRows quantized = cpu::GroupAt(cpu::ScalarKernels(), input, 0, 0);
  const int8_t* values = static_cast<const int8_t*>(quantized.values);
  out.values.assign(values, values + groups * kGroup);
  out.scales.assign(quantized.scales, quantized.scales + groups);
  return out;
}

template <typename Op>
Rows OnDevice(Dtype dtype, int64_t rows, int64_t width, const Op& op) {
  const size_t groups = static_cast<size_t>(rows * ((width + kGroup - 1) / kGroup));
  const size_t quantized = dtype == Dtype::kInt8 ? groups : 0;
  DeviceArray<float> f32(std::vector<float>(static_cast<size_t>(rows * width)));
  DeviceArray<int8_t> values(std::vector<int8_t>(quantized * kGroup));
  DeviceArray<float> scales((std::vector<float>(quantized)));
  op(cuda::Activations{
      .dtype = dtype, .width = width, .f32 = f32.data(), .values = values.data(), .scales = scales.data()});
  return {f32.Read(), values.Read(), scales.Read()};
}

// Every pattern in turn, each row with its own; beyond 2,048 values a row takes several tiles.
std::vector<int64_t> Widths() {
  std::vector<int64_t> widths(std::begin(kWidths), std::end(kWidths));
  for (const int64_t width : {1029, 2048, 2049, 4500}) widths.push_back(width);
  return widths;
}

void ExpectNorm(NormKind kind, bool with_bias) {
  Random random(21);
  for (const int64_t width : Widths()) {
    const int64_t rows = width > 1000 ? 2 : kPatterns;
    const std::vector<float> x = Matrix(random, rows, width), weight = random.Bells(width),
                             bias = random.Bells(width);
    for (const Dtype dtype : {Dtype::kF32, Dtype::kInt8}) {
      const NormWeight on_cpu = {kind, 1e-5f, weight.data(), with_bias ? bias.data() : nullptr};
      const Rows expected = OnCpu(dtype, rows, width, [&](Backend& cpu, LinearInput* out, float*) {
        cpu.Norm(on_cpu, x.data(), rows, out);
      });
      WithThreadOrders([&] {
        DeviceArray<float> dx(x), dweight(weight), dbias(bias);
        const NormWeight norm = {kind, 1e-5f, dweight.data(), with_bias ? dbias.data() : nullptr};
        const Rows actual = OnDevice(dtype, rows, width, [&](const cuda::Activations& out) {
          cuda::Norm(norm, dx.data(), rows, out, nullptr);
        });
        KV_EXPECT_EQ(Difference(actual, expected), "");
      });
    }
  }
}

KV_TEST(cuda_rms_norm_equals_the_cpu) { ExpectNorm(NormKind::kRms, false); }
KV_TEST(cuda_layer_norm_equals_the_cpu) {
  ExpectNorm(NormKind::kLayer, true);
  ExpectNorm(NormKind::kLayer, false);
}

void ExpectQuantize(const std::vector<float>& x, int64_t rows, int64_t width) {
  for (const bool rotated : {false, true}) {
    std::vector<float> copy = x;
    Rows expected = OnCpu(Dtype::kInt8, rows, width, [&](Backend& cpu, LinearInput* out, float*) {
      cpu.Prepare(copy.data(), rows, rotated ? kGroup : 1, out);
    });
    expected.f32.assign(expected.f32.size(), 0);  // not written
    WithThreadOrders([&] {
      DeviceArray<float> dx(x);
      const Rows actual = OnDevice(Dtype::kInt8, rows, width, [&](const cuda::Activations& out) {
        cuda::Quantize(dx.data(), rows, rotated, out, nullptr);
      });
      KV_EXPECT_EQ(Difference(actual, expected), "");
    });
  }
}

KV_TEST(cuda_quantize_equals_the_cpu) {
  Random random(22);
  for (const int64_t width : kWidths) ExpectQuantize(Matrix(random, kPatterns, width), kPatterns, width);
}

// What NaN and infinity do to a group depends on the order of the comparisons.
KV_TEST(cuda_quantize_of_nan_and_infinity_equals_the_cpu) {
  Random random(23);
  const int64_t rows = 40, width = 130;
  std::vector<float> x = random.Bells(rows * width);
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t i = row % 4; i >= 0; --i) {
      const float value = random.Integer(0, 2) == 0   ? kInfinity
                          : random.Integer(0, 1) == 0 ? -kInfinity
                                                      : kNan;
      x[static_cast<size_t>(row * width + random.Integer(0, width - 1))] = value;
    }
  }
  ExpectQuantize(x, rows, width);
}

KV_TEST(cuda_activations_equal_the_cpu) {
  Random random(24);
  for (const ActivationKind kind :
       {ActivationKind::kSilu, ActivationKind::kGeluTanh, ActivationKind::kGeluErf, ActivationKind::kRelu,
        ActivationKind::kRelu2, ActivationKind::kQuickGelu, ActivationKind::kClampedSwiglu}) {
    for (const bool gated : {false, true}) {
      for (const int64_t width : kWidths) {
        const int64_t rows = kPatterns;
        std::vector<float> x = Matrix(random, rows, width * (gated ? 2 : 1));
        // The ends of exp and erf, and what neither computes.
        const float ends[] = {-87.0f, -87.00001f, 88.5f,     4.2f,       -4.3f,      0.0f,
                              -0.0f,  kNan,       kInfinity, -kInfinity, 1.41421357f};
        std::copy_n(ends, std::min<int64_t>(11, width), x.begin());
        for (const Dtype dtype : {Dtype::kF32, Dtype::kInt8}) {
          const Rows expected =
              OnCpu(dtype, rows, width, [&](Backend& cpu, LinearInput* out, float* scratch) {
                cpu.Activation(kind, gated, x.data(), rows, scratch, out);
              });
          WithThreadOrders([&] {
            DeviceArray<float> dx(x);
            const Rows actual = OnDevice(dtype, rows, width, [&](const cuda::Activations& out) {
              cuda::Activate(kind, gated, dx.data(), rows, out, nullptr);
            });
            KV_EXPECT_EQ(Difference(actual, expected), "");
          });
        }
      }
    }
  }
}

KV_TEST(cuda_quantize_comparison_sees_one_value) {
  cuda_emulation::ResetDevice();
  Random random(25);
  const int64_t width = 191;
  std::vector<float> x = random.Bells(width);
  const auto quantized = [&] {
    DeviceArray<float> dx(x);
    return OnDevice(Dtype::kInt8, 1, width,
                    [&](const cuda::Activations& out) { cuda::Quantize(dx.data(), 1, false, out, nullptr); });
  };
  const Rows before = quantized();
  for (const size_t i : {size_t{0}, size_t{63}, size_t{64}, size_t{190}}) {
    x[i] += 0.5f;
    KV_EXPECT(!Difference(quantized(), before).empty());
    x[i] -= 0.5f;
  }
}

KV_TEST(cuda_rotate_blocks_equals_the_cpu) {
  Random random(26);
  for (int block = 1; block <= 64; block *= 2) {
    for (const int64_t width : {1, 3, 16, 63, 64, 66, 130, 200}) {
      const int64_t rows = 3;
      const std::vector<float> x = Matrix(random, rows, width);
      std::vector<float> expected = x;
      LinearInput plain = {.dtype = Dtype::kF32, .width = width};
      Cpu()->Prepare(expected.data(), rows, block, &plain);
      WithThreadOrders([&] {
        DeviceArray<float> dx(x);
        cuda::RotateBlocks(dx.data(), rows, width, block, nullptr);
        KV_EXPECT_EQ(BitDifference(dx.Read(), expected), "");
      });
    }
  }
}

// The packed table is the CPU's, for the device's layout repacked.
KV_TEST(cuda_embed_equals_the_cpu) {
  Random random(27);
  for (const int64_t width : {1, 17, 64, 65, 130, 576}) {
    const int64_t vocab = 71;
    const std::vector<float> table = Matrix(random, vocab, width);
    const std::vector<int32_t> ids = {0, 70, 8, 7, 16, 31, 32, 63, 8, 41, 64};
    const int64_t rows = static_cast<int64_t>(ids.size());
    for (const Dtype dtype : {Dtype::kF32, Dtype::kInt8}) {
      const std::unique_ptr<Backend> cpu = Cpu();
      std::vector<uint8_t> panels(static_cast<size_t>(PackedBytes(dtype, vocab, width)));
      LinearWeight weight = {.dtype = dtype, .n = vocab, .k = width, .panels = panels.data()};
      PackRows(weight, 0, vocab, table.data(), cpu->traits().pack_panel_s8);
      std::vector<float> expected(static_cast<size_t>(rows * width));
      cpu->UnpackRows(weight, ids.data(), rows, expected.data());
      WithThreadOrders([&] {
        DeviceArray<uint8_t> on_device(panels), packed(panels);
        DeviceArray<int32_t> dids(ids);
        DeviceArray<float> x(std::vector<float>(static_cast<size_t>(rows * width)));
        weight.panels = packed.data();
        if (dtype == Dtype::kInt8) {
          cuda::RepackInt8(reinterpret_cast<const Int8Block*>(on_device.data()), 0,
                           (vocab + kPanelColumns - 1) / kPanelColumns, weight, nullptr);
        }
        cuda::Embed(weight, dids.data(), rows, x.data(), nullptr);
        KV_EXPECT_EQ(BitDifference(x.Read(), expected), "");
      });
    }
  }
}

// The layout, spelled out as kernels.h says it.
KV_TEST(cuda_repacked_weights_are_where_the_layout_says) {
  cuda_emulation::ResetDevice();
  Random random(28);
  const int64_t n = 70, k = 130, groups = 3, panels = 6;
  std::vector<Int8Block> blocks(static_cast<size_t>(3 * groups));
  for (Int8Block& block : blocks) {
    for (auto& quad : block.weights) {
      for (auto& column : quad) {
        for (uint8_t& weight : column) weight = static_cast<uint8_t>(random.Integer(1, 255));
      }
    }
    for (uint16_t& scale : block.scales) scale = static_cast<uint16_t>(random.Integer(0, 0x7bff));
  }
  DeviceArray<Int8Block> from(blocks), packed(blocks);
  // In two parts, as a large linear is uploaded.
  const LinearWeight own = {.dtype = Dtype::kInt8, .n = n, .k = k, .panels = packed.data()};
  const int64_t all = static_cast<int64_t>(blocks.size()) / groups;
  cuda::RepackInt8(from.data(), 0, 1, own, nullptr);
  cuda::RepackInt8(from.data() + groups, 1, all - 1, own, nullptr);
  const std::vector<Int8Block> read = packed.Read();
  const int8_t* weights = reinterpret_cast<const int8_t*>(read.data());
  const uint16_t* scales = reinterpret_cast<const uint16_t*>(weights + panels * groups * 16 * 64);
  for (int64_t column = 0; column < 96; ++column) {
    for (int64_t g = 0; g < groups; ++g) {
      const Int8Block& block = blocks[static_cast<size_t>(column / 32 * groups + g)];
      const int64_t at = column / 16 * groups + g, in_panel = column % 16;
      KV_EXPECT_EQ(scales[(at * 8 + in_panel % 8) * 2 + in_panel / 8], block.scales[column % 32]);
      for (int64_t i = 0; i < 64; ++i) {
        const int64_t quarter = i / 16, half = i / 8 % 2, byte = i / 4 % 2 * 8 + in_panel / 8 * 4 + i % 4;
        const int64_t place = (((at * 2 + half) * 8 + in_panel % 8) * 4 + quarter) * 16 + byte;
        KV_EXPECT_EQ(int{weights[place]}, int{block.weights[i / 4][column % 32][i % 4]} - kWeightOffset);
      }
    }
  }
}

KV_TEST(cuda_add_and_gather_rows_equal_the_cpu) {
  Random random(29);
  for (const int64_t width : {1, 17, 300}) {
    const std::vector<float> table = random.Bells(20 * width), x = random.Bells(5 * width);
    const std::vector<int32_t> indices = {4, 0, 3, 3, 1};
    std::vector<float> added = x, gathered(x.size());
    const std::unique_ptr<Backend> cpu = Cpu();
    StepScope step(*cpu, {.positions = indices.data(), .rows = 5, .wanted = indices.data(), .n_wanted = 5});
    cpu->AddRows(table.data(), {StepArray::kPositions, 0, 5}, width, added.data());
    cpu->GatherRows(x.data(), {StepArray::kWanted, 0, 5}, width, gathered.data());
    WithThreadOrders([&] {
      DeviceArray<float> dtable(table), dx(x), out(x);
      DeviceArray<int32_t> dindices(indices);
      cuda::GatherRows(dx.data(), dindices.data(), 5, width, out.data(), nullptr);
      KV_EXPECT_EQ(BitDifference(out.Read(), gathered), "");
      cuda::AddRows(dtable.data(), dindices.data(), 5, width, dx.data(), nullptr);
      KV_EXPECT_EQ(BitDifference(dx.Read(), added), "");
    });
  }
}

}  // namespace
}  // namespace kvasir::testing

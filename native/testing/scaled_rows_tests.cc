// Tensors with scales beside them, through the reader that loads models, against float64 oracles.
#include <cmath>
#include <random>

#include "io/container.h"
#include "model/tensor_reader.h"
#include "testing/io_files.h"
#include "testing/native_tests.h"

namespace kvasir::testing {
namespace {

constexpr ErrorCode kFormat = ErrorCode::kModelFormat;

// Tensors of a safetensors file, one after another.
class Tensors {
 public:
  void Add(const std::string& name, const std::string& dtype, const std::string& shape,
           const std::string& bytes) {
    header_ += (header_.empty() ? "{\"" : ",\"") + name + R"(":{"dtype":")" + dtype + R"(","shape":)" +
               shape + R"(,"data_offsets":[)" + std::to_string(data_.size()) + "," +
               std::to_string(data_.size() + bytes.size()) + "]}";
    data_ += bytes;
  }
  std::shared_ptr<Container> Open() const {
    const TemporaryFolder folder;
    return Container::Open({folder.Write("m.safetensors", Safetensors(header_ + "}", data_))});
  }

 private:
  std::string header_, data_;
};

std::string RandomBytes(size_t n, uint32_t seed) {
  std::mt19937 random(seed);
  std::string bytes(n, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random());
  return bytes;
}

// Of every E4M3 byte but those that are no number.
double E4m3(uint8_t byte) {
  const int exponent = byte >> 3 & 15, mantissa = byte & 7;
  const double magnitude = exponent == 0 ? std::ldexp(mantissa, -9) : std::ldexp(8 + mantissa, exponent - 10);
  return byte < 128 ? magnitude : -magnitude;
}

std::string RandomE4m3(size_t n, uint32_t seed) {
  std::string bytes = RandomBytes(n, seed);
  for (char& byte : bytes) {
    if ((byte & 0x7f) == 0x7f) byte &= '\x0f';
  }
  return bytes;
}

struct Matrix {
  int64_t rows;
  int64_t columns;
};

std::vector<float> ReadAll(const Container& container, const TensorSource& source, Matrix size) {
  const TensorMap map = {{"w", source}};
  TensorReader reader(container, map);
  reader.CheckShape("w", size.rows, size.columns);
  std::vector<float> out(static_cast<size_t>(size.rows * size.columns));
  // In two reads, which meet within a block.
  const int64_t first = size.rows / 3;
  reader.ReadRows("w", 0, first, size.columns, out.data());
  reader.ReadRows("w", first, size.rows - first, size.columns, out.data() + first * size.columns);
  return out;
}

// FP8 [300, 200] with blocks of `rows` x `columns`.
void CheckFp8(int64_t rows, int64_t columns, const std::string& scale_shape) {
  constexpr Matrix kSize = {300, 200};
  const int64_t grid_rows = (kSize.rows + rows - 1) / rows;
  const int64_t grid_columns = (kSize.columns + columns - 1) / columns;
  std::vector<float> scales;
  std::mt19937 random(7);
  for (int64_t i = 0; i < grid_rows * grid_columns; ++i) {
    scales.push_back(static_cast<float>(random() % 1000) / 256 - 1);
  }
  const std::string bytes = RandomE4m3(kSize.rows * kSize.columns, 3);
  Tensors tensors;
  tensors.Add("w", "F8_E4M3", "[300,200]", bytes);
  tensors.Add("s", "F32", scale_shape, FloatBytes(scales));
  TensorSource source = {.name = "w"};
  source.scales = {"s", rows, columns};
  const std::vector<float> out = ReadAll(*tensors.Open(), source, kSize);
  for (int64_t i = 0; i < kSize.rows * kSize.columns; ++i) {
    const int64_t row = i / kSize.columns, column = i % kSize.columns;
    const auto at = static_cast<size_t>(row / rows * grid_columns + column / columns);
    const double exact = E4m3(static_cast<uint8_t>(bytes[static_cast<size_t>(i)])) * scales[at];
    if (out[static_cast<size_t>(i)] == static_cast<float>(exact)) continue;
    return Fail(__FILE__, __LINE__, "value " + std::to_string(i) + " differs");
  }
}

KV_TEST(scaled_rows_of_fp8_by_block_row_and_tensor) {
  CheckFp8(128, 128, "[3,2]");
  CheckFp8(64, 32, "[5,7]");
  CheckFp8(1, 200, "[300,1]");
  CheckFp8(1, 200, "[300]");
  CheckFp8(300, 200, "[]");
  CheckFp8(300, 200, "[1]");
}

// Three matrices [5, 64] of experts, the second read as gate rows of an interleaved pair.
KV_TEST(scaled_rows_of_packed_fp4) {
  constexpr double kE2m1[] = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
  const std::string blocks = RandomBytes(3 * 6 * 2 * 16, 5);
  std::string scales = RandomBytes(3 * 6 * 2, 6);
  for (char& scale : scales) scale = static_cast<char>(static_cast<uint8_t>(scale) % 250);
  Tensors tensors;
  tensors.Add("w_blocks", "U8", "[3,6,2,16]", blocks);
  tensors.Add("w_scales", "U8", "[3,6,2]", scales);
  const auto container = tensors.Open();
  TensorSource source = {.name = "w_blocks", .fp4 = true, .scales = {"w_scales", 1, 32}};
  source.expert = 1;
  const auto value = [&](int64_t row, int64_t column) {
    const auto block = static_cast<size_t>((6 + row) * 2 + column / 32);
    const int byte = static_cast<uint8_t>(blocks[block * 16 + static_cast<size_t>(column % 32 / 2)]);
    const int code = column % 2 == 0 ? byte & 15 : byte >> 4;
    return std::ldexp(code < 8 ? kE2m1[code] : -kE2m1[code - 8], static_cast<uint8_t>(scales[block]) - 127);
  };
  std::vector<float> out = ReadAll(*container, source, {6, 64});
  for (int64_t i = 0; i < 6 * 64; ++i) {
    KV_EXPECT_EQ(static_cast<double>(out[static_cast<size_t>(i)]), value(i / 64, i % 64));
  }
  source.first_row = 1, source.group = 1, source.stride = 2;
  out = ReadAll(*container, source, {3, 64});
  for (int64_t i = 0; i < 3 * 64; ++i) {
    KV_EXPECT_EQ(static_cast<double>(out[static_cast<size_t>(i)]), value(2 * (i / 64) + 1, i % 64));
  }
  source = {.name = "w_blocks", .transposed = true, .expert = 2, .fp4 = true, .scales = {"w_scales", 1, 32}};
  out = ReadAll(*container, source, {64, 6});
  KV_EXPECT_EQ(static_cast<double>(out[3 * 6 + 4]), value(6 + 4, 3));
}

// Powers of two as bytes, in both of the ways that files say so.
KV_TEST(scaled_rows_with_exponents_for_scales) {
  for (const char* dtype : {"U8", "F8_E8M0"}) {
    Tensors tensors;
    tensors.Add("w", "F8_E4M3", "[2,2]", std::string("\x38\x40\xb8\x30", 4));  // 1, 2, -1, 0.5
    tensors.Add("s", dtype, "[2,1]", std::string("\x81\x7e", 2));
    TensorSource source = {.name = "w"};
    source.scales = {"s", 1, 2};
    KV_EXPECT(ReadAll(*tensors.Open(), source, {2, 2}) == (std::vector<float>{4, 8, -0.5f, 0.25f}));
  }
}

KV_TEST(scaled_rows_refuse_scales_that_do_not_fit) {
  Tensors tensors;
  tensors.Add("w", "F8_E4M3", "[4,64]", std::string(256, '\x38'));
  tensors.Add("few", "F32", "[1,1]", Bytes(1.0f));
  tensors.Add("ints", "I32", "[4]", std::string(16, '\1'));
  tensors.Add("bytes", "U8", "[4,2,16]", std::string(128, '\1'));
  tensors.Add("flat", "U8", "[4,32]", std::string(128, '\1'));
  tensors.Add("vector", "F8_E4M3", "[64]", std::string(64, '\1'));
  const auto container = tensors.Open();
  const auto read = [&](const char* name, const char* scales, bool fp4, int64_t rows) {
    const TensorSource source = {.name = name, .fp4 = fp4, .scales = {scales, rows, 64}};
    return ReadAll(*container, source, {4, 64});
  };
  KV_EXPECT_THROWS_WITH(kFormat, "'none', which the file has not", read("w", "none", false, 1));
  KV_EXPECT_THROWS_WITH(kFormat, "have 1 values, but blocks of 1 x 64 need 4 for 'w'",
                        read("w", "few", false, 1));
  KV_EXPECT_THROWS_WITH(kFormat, "'ints' are stored as I32", read("w", "ints", false, 1));
  KV_EXPECT_THROWS_WITH(kFormat, "no matrix", read("w", "few", false, 0));
  KV_EXPECT_THROWS_WITH(kFormat, "no matrix", read("vector", "few", false, 1));
  KV_EXPECT_THROWS_WITH(kFormat, "4-bit values are bytes", read("flat", "few", true, 4));
  KV_EXPECT_THROWS_WITH(kFormat, "which the file has not", read("bytes", "", true, 4));
  KV_EXPECT_THROWS_WITH(kFormat, "'bytes' is stored as 'U8', whose values cannot be read",
                        ReadAll(*container, {.name = "bytes"}, {8, 16}));
  KV_EXPECT_EQ(read("w", "few", false, 4)[5], 1.0f);
}

}  // namespace
}  // namespace kvasir::testing

#include "model/scaled_rows.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/error.h"
#include "io/dequantize.h"

namespace kvasir {

namespace {

// Twice what E2M1 says. Scales are halved for it: 2^128 is no float32, but half of it times 0.5 is a value.
constexpr float kTwiceE2m1[16] = {0, 1, 2, 3, 4, 6, 8, 12, -0.0f, -1, -2, -3, -4, -6, -8, -12};
constexpr int64_t kPackedValues = 32;  // of 16 bytes

[[noreturn]] void Throw(const std::string& what) { throw Error(ErrorCode::kModelFormat, what); }

int64_t Blocks(int64_t size, int64_t block) { return size / block + (size % block != 0 ? 1 : 0); }

// How scales lie over the matrices [rows, columns] of a tensor.
struct Grid {
  int64_t matrix_rows;
  int64_t rows;  // of scales of one matrix
  int64_t columns;
};

Grid GridOf(const TensorScales& scales, const TensorInfo& values) {
  const int64_t matrix_rows = values.shape[values.shape.size() - 2];
  return {matrix_rows, Blocks(matrix_rows, scales.block_rows),
          Blocks(values.shape.back(), scales.block_columns)};
}

// Whether scales are bytes that say powers of two with bias 127.
bool AreExponents(const TensorInfo& scales, bool fp4) {
  return scales.dtype == "U8" || (fp4 && scales.dtype == "F8_E8M0");
}

// Scales [first, first + count) of the flat tensor, halved for 4-bit values.
std::vector<float> ReadScales(const Container& container, const TensorSource& source, int64_t first,
                              int64_t count) {
  const TensorInfo& scales = *container.Find(source.scales.name);
  std::vector<float> values(static_cast<size_t>(count));
  if (AreExponents(scales, source.fp4)) {
    std::vector<uint8_t> bytes(values.size());
    container.ReadBytes(scales, static_cast<uint64_t>(first), bytes.size(), bytes.data());
    const int bias = source.fp4 ? 128 : 127;
    std::transform(bytes.begin(), bytes.end(), values.begin(),
                   [bias](uint8_t byte) { return std::ldexp(1.0f, static_cast<int>(byte) - bias); });
    return values;
  }
  const Dequantizer& dequantizer = *FindDequantizer(scales.dtype);
  std::vector<uint8_t> bytes(static_cast<size_t>(count * dequantizer.block_bytes));
  container.ReadBytes(scales, static_cast<uint64_t>(first * dequantizer.block_bytes), bytes.size(),
                      bytes.data());
  dequantizer.convert(bytes.data(), count, values.data());
  return values;
}

// Rows as they are stored, before scales.
void ReadStored(const Container& container, const TensorSource& source, const TensorInfo& values,
                int64_t first, int64_t rows, float* out) {
  const TensorInfo& stored = *container.Find(source.name);
  if (!source.fp4) return container.ReadRows(stored, first, rows, out);
  const int64_t row_bytes = values.shape.back() / 2;
  std::vector<uint8_t> bytes(static_cast<size_t>(rows * row_bytes));
  container.ReadBytes(stored, static_cast<uint64_t>(first * row_bytes), bytes.size(), bytes.data());
  for (size_t i = 0; i < bytes.size(); ++i) {
    out[2 * i] = kTwiceE2m1[bytes[i] & 15];
    out[2 * i + 1] = kTwiceE2m1[bytes[i] >> 4];
  }
}

}  // namespace

bool HasScales(const TensorSource& source) { return source.fp4 || !source.scales.name.empty(); }

TensorInfo ValuesOf(const TensorSource& source, const TensorInfo& stored) {
  if (!source.fp4) return stored;
  TensorInfo values = stored;
  const bool packed = stored.shape.size() >= 3 && stored.shape.back() == kPackedValues / 2;
  if (!packed || (stored.dtype != "U8" && stored.dtype != "I8")) {
    Throw("Tensor '" + stored.name + "' is stored as " + stored.dtype +
          "; 4-bit values are bytes (U8) [..., columns / 32, 16]");
  }
  values.shape.pop_back();
  values.shape.back() *= kPackedValues;
  return values;
}

void CheckScales(const Container& container, const TensorSource& source, const TensorInfo& values) {
  const TensorInfo* scales = container.Find(source.scales.name);
  if (scales == nullptr) {
    Throw("Tensor '" + source.name + "' needs its scales '" + source.scales.name +
          "', which the file has not; it may be incomplete, download it again");
  }
  const Dequantizer* dequantizer = FindDequantizer(scales->dtype);
  const bool plain = !source.fp4 && dequantizer != nullptr && dequantizer->block_elements == 1;
  if (!plain && !AreExponents(*scales, source.fp4))
    Throw("The scales '" + scales->name + "' are stored as " + scales->dtype);
  const TensorScales& source_scales = source.scales;
  if (values.shape.size() < 2 || source_scales.block_rows < 1 || source_scales.block_columns < 1) {
    Throw("Tensor '" + source.name + "' has scales, but is no matrix");
  }
  const Grid grid = GridOf(source_scales, values);
  int64_t need = grid.rows * grid.columns;
  for (size_t d = 0; d + 2 < values.shape.size(); ++d) need *= values.shape[d];
  if (scales->elements() == need) return;
  Throw("The scales '" + scales->name + "' have " + std::to_string(scales->elements()) +
        " values, but blocks of " + std::to_string(source_scales.block_rows) + " x " +
        std::to_string(source_scales.block_columns) + " need " + std::to_string(need) + " for '" +
        source.name + "'; the configuration and the weights do not belong together");
}

void ReadScaledRows(const Container& container, const TensorSource& source, const TensorInfo& values,
                    int64_t first, int64_t rows, float* out) {
  if (rows == 0) return;
  ReadStored(container, source, values, first, rows, out);
  const Grid grid = GridOf(source.scales, values);
  const auto scale_row = [&](int64_t row) {
    return row / grid.matrix_rows * grid.rows + row % grid.matrix_rows / source.scales.block_rows;
  };
  const int64_t begin = scale_row(first), end = scale_row(first + rows - 1) + 1;
  const std::vector<float> scales =
      ReadScales(container, source, begin * grid.columns, (end - begin) * grid.columns);
  const int64_t columns = values.shape.back();
  for (int64_t row = first; row < first + rows; ++row, out += columns) {
    const float* scale = scales.data() + (scale_row(row) - begin) * grid.columns;
    for (int64_t column = 0; column < columns; column += source.scales.block_columns, ++scale) {
      const int64_t block_end = std::min(columns, column + source.scales.block_columns);
      for (int64_t i = column; i < block_end; ++i) out[i] *= *scale;
    }
  }
}

}  // namespace kvasir

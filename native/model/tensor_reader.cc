#include "model/tensor_reader.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "io/dequantize.h"
#include "model/scaled_rows.h"

namespace kvasir {

namespace {

// A tensor, or an expert's part of one, after transposing.
struct Stored {
  int64_t rows;
  int64_t columns;
};

Stored StoredOf(const TensorSource& source, const TensorInfo& info) {
  const int64_t experts = source.expert < 0 ? 1 : info.shape.front();
  const int64_t columns = info.shape.empty() ? 1 : info.shape.back();
  const int64_t rows = columns == 0 || experts == 0 ? 0 : info.elements() / columns / experts;
  if (source.transposed) return {columns, rows};
  return {rows, columns};
}

int64_t StoredRow(const TensorSource& source, int64_t row) {
  if (source.group == 0) return source.first_row + row;
  return source.first_row + row / source.group * source.stride + row % source.group;
}

// Whether a view of `need` rows lies inside `have` of them.
bool IsInside(const TensorSource& source, int64_t need, int64_t have) {
  constexpr int64_t kMost = int64_t{1} << 40;
  if (source.first_row < 0 || source.first_row > have || need < 1 || need > kMost) return false;
  if (source.group == 0) return need <= have - source.first_row;
  if (source.group < 0 || source.stride < source.group || source.stride > kMost) return false;
  const int64_t groups = (need - 1) / source.group;
  if (groups > kMost / source.stride) return false;
  return StoredRow(source, need - 1) < have;
}

}  // namespace

TensorReader::TensorReader(const Container& container, const TensorMap& tensors)
    : container_(container), tensors_(tensors) {
  for (const auto& [name, source] : tensors) {
    ++uses_[source.name];
    const TensorInfo* stored = source.fp4 ? container.Find(source.name) : nullptr;
    if (stored != nullptr && packed_.count(source.name) == 0) {
      packed_.emplace(source.name, ValuesOf(source, *stored));
    }
  }
}

const TensorSource& TensorReader::Source(const std::string& name) const {
  const auto it = tensors_.find(name);
  if (it == tensors_.end())
    throw Error(ErrorCode::kModelFormat, "The model has no tensor for '" + name + "'");
  return it->second;
}

const TensorInfo& TensorReader::Info(const TensorSource& source) const {
  if (source.fp4) {
    const auto packed = packed_.find(source.name);
    if (packed != packed_.end()) return packed->second;
  }
  const TensorInfo* info = container_.Find(source.name);
  if (info == nullptr) {
    throw Error(ErrorCode::kModelFormat,
                "The file has no tensor '" + source.name + "'; it may be incomplete, download it again");
  }
  return *info;
}

void TensorReader::CheckDtype(const TensorSource& source, const TensorInfo& info) const {
  if (HasScales(source)) CheckScales(container_, source, info);
  if (source.fp4 || FindDequantizer(info.dtype) != nullptr) return;
  throw Error(ErrorCode::kModelFormat, "Tensor '" + source.name + "' is stored as '" + info.dtype +
                                           "', whose values cannot be read; these can: " + ReadableDtypes() +
                                           ". Use a file of this model in one of these");
}

void TensorReader::ReadValues(const TensorSource& source, const TensorInfo& info, int64_t first, int64_t rows,
                              float* out) const {
  if (HasScales(source)) return ReadScaledRows(container_, source, info, first, rows, out);
  container_.ReadRows(info, first, rows, out);
}

void TensorReader::CheckShape(const std::string& name, int64_t rows, int64_t columns) const {
  const TensorSource& source = Source(name);
  const TensorInfo& info = Info(source);
  CheckDtype(source, info);
  if (source.expert >= 0 && (info.shape.size() < 2 || source.expert >= info.shape.front())) {
    throw Error(ErrorCode::kModelFormat,
                "Tensor '" + source.name + "' has no part for expert " + std::to_string(source.expert));
  }
  const Stored stored = StoredOf(source, info);
  // A vector counts as one row of `columns` or, sliced from a fused bias, as part of a longer one.
  const bool vector = rows == 1 && stored.rows == 1 && !source.transposed;
  const int64_t have = vector ? stored.columns : stored.rows, need = vector ? columns : rows;
  const bool columns_fit = vector || stored.columns == columns;
  const bool fits = columns_fit && IsInside(source, need, have);
  const bool shared = source.is_part() || uses_.at(source.name) > 1;
  if (fits && (shared || have == need)) return;
  throw Error(ErrorCode::kModelFormat, "Tensor '" + source.name + "' has " + std::to_string(stored.rows) +
                                           " x " + std::to_string(stored.columns) +
                                           " values, but the configuration needs " + std::to_string(rows) +
                                           " x " + std::to_string(columns) + " for '" + name +
                                           "'; the configuration and the weights do not belong together");
}

std::shared_ptr<const TensorReader::Whole> TensorReader::ReadWhole(const TensorSource& source,
                                                                   const TensorInfo& info) {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (const auto& whole : wholes_) {
    if (whole != nullptr && whole->name == info.name && whole->expert == source.expert) return whole;
  }
  wholes_[0] = std::move(wholes_[1]);
  const Stored stored = StoredOf(source, info);  // its columns are the container's rows
  auto whole = std::make_shared<Whole>(
      Whole{info.name, source.expert, std::vector<float>(static_cast<size_t>(stored.rows * stored.columns))});
  const int64_t first = source.expert < 0 ? 0 : source.expert * stored.columns;
  ReadValues(source, info, first, stored.columns, whole->values.data());
  wholes_[1] = whole;
  return whole;
}

void TensorReader::ReadRows(const std::string& name, int64_t first, int64_t rows, int64_t columns,
                            float* out) {
  const TensorSource& source = Source(name);
  const TensorInfo& info = Info(source);
  const bool vector = rows == 1 && (info.shape.size() == 1 || (source.expert >= 0 && info.shape.size() == 2));
  if (vector) {
    ReadVector(source, info, columns, out);
  } else if (source.transposed) {
    ReadTransposed(source, info, first, rows, columns, out);
  } else {
    ReadStored(source, info, first, rows, columns, out);
  }
  for (int64_t i = 0; i < rows * columns && source.add_one; ++i) out[i] += 1.0f;
  for (int64_t i = 0; i < rows * columns && source.negative_exp; ++i) {
    out[i] = -static_cast<float>(std::exp(static_cast<double>(out[i])));
  }
}

// Its rows are the vector's elements. Of a tensor with a row for each expert, that row alone is read.
void TensorReader::ReadVector(const TensorSource& source, const TensorInfo& info, int64_t columns,
                              float* out) {
  const int64_t width = info.shape.back(), rows = source.expert < 0 ? info.elements() / width : 1;
  std::vector<float> all(static_cast<size_t>(rows * width));
  ReadValues(source, info, source.expert < 0 ? 0 : source.expert, rows, all.data());
  for (int64_t i = 0; i < columns; ++i) out[i] = all[static_cast<size_t>(StoredRow(source, i))];
}

void TensorReader::ReadStored(const TensorSource& source, const TensorInfo& info, int64_t first, int64_t rows,
                              int64_t columns, float* out) {
  const int64_t begin = source.expert < 0 ? 0 : source.expert * StoredOf(source, info).rows;
  while (rows > 0) {
    const int64_t run = source.group == 0 ? rows : std::min(rows, source.group - first % source.group);
    ReadValues(source, info, begin + StoredRow(source, first), run, out);
    first += run;
    rows -= run;
    out += run * columns;
  }
}

void TensorReader::ReadTransposed(const TensorSource& source, const TensorInfo& info, int64_t first,
                                  int64_t rows, int64_t columns, float* out) {
  const Stored stored = StoredOf(source, info);
  const std::shared_ptr<const Whole> whole = ReadWhole(source, info);
  for (int64_t row = 0; row < rows; ++row) {
    const float* values = whole->values.data() + StoredRow(source, first + row);
    for (int64_t column = 0; column < columns; ++column) {
      out[row * columns + column] = values[column * stored.rows];
    }
  }
}

}  // namespace kvasir

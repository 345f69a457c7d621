#include "model/tensor_reader.h"

#include "core/error.h"

namespace kvasir {

TensorReader::TensorReader(const Container& container, const TensorMap& tensors)
    : container_(container), tensors_(tensors) {
  for (const auto& [name, source] : tensors) ++uses_[source.name];
}

const TensorSource& TensorReader::Source(const std::string& name) const {
  const auto it = tensors_.find(name);
  if (it == tensors_.end())
    throw Error(ErrorCode::kModelFormat, "The model has no tensor for '" + name + "'");
  return it->second;
}

const TensorInfo& TensorReader::Info(const std::string& name) const {
  const TensorInfo* info = container_.Find(name);
  if (info == nullptr) {
    throw Error(ErrorCode::kModelFormat,
                "The file has no tensor '" + name + "'; it may be incomplete, download it again");
  }
  return *info;
}

void TensorReader::CheckShape(const std::string& name, int64_t rows, int64_t columns) const {
  const TensorSource& source = Source(name);
  const TensorInfo& info = Info(source.name);
  const int64_t stored_columns = info.shape.empty() ? 1 : info.shape.back();
  const int64_t stored_rows = stored_columns == 0 ? 0 : info.elements() / stored_columns;
  const int64_t have_rows = source.transposed ? stored_columns : stored_rows;
  const int64_t have_columns = source.transposed ? stored_rows : stored_columns;
  // A vector counts as one row of `columns` or, sliced from a fused bias, as part of a longer one.
  const bool vector = rows == 1 && stored_rows == 1;
  const int64_t have = vector ? stored_columns : have_rows, need = vector ? columns : rows;
  const bool columns_fit = vector || have_columns == columns;
  const bool shared = uses_.at(source.name) > 1;
  const bool rows_fit =
      source.row_offset >= 0 && source.row_offset <= have && need <= have - source.row_offset;
  if (columns_fit && rows_fit && (shared || have == need)) return;
  throw Error(ErrorCode::kModelFormat, "Tensor '" + source.name + "' has " + std::to_string(have_rows) +
                                           " x " + std::to_string(have_columns) +
                                           " values, but the configuration needs " + std::to_string(rows) +
                                           " x " + std::to_string(columns) + " for '" + name +
                                           "'; the configuration and the weights do not belong together");
}

std::shared_ptr<const TensorReader::Whole> TensorReader::ReadWhole(const TensorInfo& info, int64_t rows) {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (const auto& whole : wholes_) {
    if (whole != nullptr && whole->name == info.name) return whole;
  }
  wholes_[0] = std::move(wholes_[1]);
  auto whole =
      std::make_shared<Whole>(Whole{info.name, std::vector<float>(static_cast<size_t>(info.elements()))});
  container_.ReadRows(info, 0, rows, whole->values.data());
  wholes_[1] = whole;
  return whole;
}

void TensorReader::ReadRows(const std::string& name, int64_t first, int64_t rows, int64_t columns,
                            float* out) {
  const TensorSource& source = Source(name);
  const TensorInfo& info = Info(source.name);
  first += source.row_offset;
  if (rows == 1 && info.shape.size() == 1) {
    // A vector; the offset counts elements.
    std::vector<float> all(static_cast<size_t>(info.elements()));
    container_.ReadRows(info, 0, 1, all.data());
    for (int64_t i = 0; i < columns; ++i) out[i] = all[static_cast<size_t>(first + i)];
    return;
  }
  if (!source.transposed) {
    container_.ReadRows(info, first, rows, out);
    return;
  }
  const int64_t stored_columns = info.shape.back();
  const std::shared_ptr<const Whole> whole = ReadWhole(info, columns);
  for (int64_t column = 0; column < columns; ++column) {
    const float* stored = whole->values.data() + column * stored_columns + first;
    for (int64_t row = 0; row < rows; ++row) out[row * columns + column] = stored[row];
  }
}

}  // namespace kvasir

// Reads canonical tensors from a container: resolves names, checks shapes and dtypes, undoes the ways in which checkpoints
// store them (TensorSource). It gives float32 rows and knows neither quantization nor what a tensor is for.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "io/container.h"
#include "model/model_spec.h"

namespace kvasir {

class TensorReader {
 public:
  TensorReader(const Container& container, const TensorMap& tensors);

  bool Has(const std::string& name) const { return tensors_.count(name) != 0; }
  // Throws Error(kModelFormat) when the tensor is missing, is not [rows, columns], or is of a type that cannot be read.
  void CheckShape(const std::string& name, int64_t rows, int64_t columns) const;
  // Rows [first, first + rows) of a checked tensor to out [rows, columns]. Thread-safe. A transposed tensor, or
  // an expert's part of one, is read whole once and kept until two others have been asked for.
  void ReadRows(const std::string& name, int64_t first, int64_t rows, int64_t columns, float* out);

 private:
  const TensorSource& Source(const std::string& name) const;
  // The tensor with the shape of its values.
  const TensorInfo& Info(const TensorSource& source) const;
  void CheckDtype(const TensorSource& source, const TensorInfo& info) const;
  // As the container has them, times their scales.
  void ReadValues(const TensorSource& source, const TensorInfo& info, int64_t first, int64_t rows,
                  float* out) const;

  const Container& container_;
  const TensorMap& tensors_;
  std::map<std::string, TensorInfo>
      packed_;                       // tensors whose values have another shape than the container says
  std::map<std::string, int> uses_;  // canonical tensors that read from a stored one (3 for a fused QKV)
  struct Whole {
    std::string name;
    int64_t expert;
    std::vector<float> values;  // as stored: [columns, rows]
  };
  std::shared_ptr<const Whole> ReadWhole(const TensorSource& source, const TensorInfo& info);
  void ReadVector(const TensorSource& source, const TensorInfo& info, int64_t columns, float* out);
  void ReadStored(const TensorSource& source, const TensorInfo& info, int64_t first, int64_t rows,
                  int64_t columns, float* out);
  void ReadTransposed(const TensorSource& source, const TensorInfo& info, int64_t first, int64_t rows,
                      int64_t columns, float* out);
  std::mutex mutex_;
  // Threads that share out tensors in order are at the end of one and at the beginning of the next.
  std::array<std::shared_ptr<const Whole>, 2> wholes_;
};

}  // namespace kvasir

// The tensors that a checkpoint declares, without their bytes: for checks of names, dtypes and shapes.
#pragma once

#include <napi.h>

#include <map>
#include <string>
#include <vector>

#include "io/container.h"

namespace kvasir::addon {

class DeclaredTensors final : public Container {
 public:
  // `entries` is {name, dtype, shape}[]. Throws Napi::TypeError naming what is no such thing.
  explicit DeclaredTensors(const Napi::Value& entries);

  const char* format() const override { return "declared"; }
  const std::map<std::string, MetadataValue>& metadata() const override { return metadata_; }
  const std::vector<TensorInfo>& tensors() const override { return tensors_; }
  const TensorInfo* Find(const std::string& name) const override;
  // There are none: throw Error(kInternal).
  void ReadRows(const TensorInfo& tensor, int64_t first_row, int64_t n_rows, float* out) const override;
  void ReadBytes(const TensorInfo& tensor, uint64_t begin, uint64_t size, void* out) const override;

 private:
  std::map<std::string, MetadataValue> metadata_;
  std::vector<TensorInfo> tensors_;
  std::map<std::string, size_t> by_name_;
};

}  // namespace kvasir::addon

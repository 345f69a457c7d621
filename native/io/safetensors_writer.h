// Writes one safetensors file: a header, then the tensors in the order in which they are given. It writes to the path
// that it is told, and leaves nothing there when it fails; names and renames are the caller's.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace kvasir {

struct TensorToWrite {
  std::string name;
  std::string dtype;  // as safetensors spells it
  std::vector<int64_t> shape;
  const void* values;
  uint64_t bytes;
};

// `metadata` in UTF-8. progress(written, total) in bytes; what it throws ends the writing. Returns the file's size.
// Throws Error(kInvalidOption) when the file cannot be created or written, with what to do.
uint64_t WriteSafetensors(const std::string& path, const std::map<std::string, std::string>& metadata,
                          const std::vector<TensorToWrite>& tensors,
                          const std::function<void(uint64_t, uint64_t)>& progress);

}  // namespace kvasir

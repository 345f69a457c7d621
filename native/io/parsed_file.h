// What one model file says about itself, before files are merged into a Container: the border between the two
// parsers and container.cc. Both parsers check every claim against the file; neither reads tensor values.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "io/container.h"
#include "io/file.h"

namespace kvasir {

struct ParsedFile {
  std::map<std::string, MetadataValue> metadata;
  std::vector<TensorInfo> tensors;  // `file` is left at 0
};

// Both throw Error(kModelFormat).
ParsedFile ParseSafetensors(const File& file);
ParsedFile ParseGguf(const File& file);

// "tensor 'name'"
std::string TensorLabel(const std::string& name);

// The product of the dimensions; throws Error(kModelFormat) when one is negative or it exceeds int64, taken
// in order (so that TensorInfo::elements() cannot overflow either, even where a later dimension is 0).
int64_t CheckedElements(const File& file, const std::string& tensor, const std::vector<int64_t>& shape);

}  // namespace kvasir

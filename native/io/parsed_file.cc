#include "io/parsed_file.h"

#include "io/format_error.h"

namespace kvasir {

std::string TensorLabel(const std::string& name) { return "tensor " + Quote(name); }

int64_t CheckedElements(const File& file, const std::string& tensor, const std::vector<int64_t>& shape) {
  int64_t elements = 1;
  for (const int64_t d : shape) {
    if (d < 0 || __builtin_mul_overflow(elements, d, &elements)) {
      ThrowFormat(file.path(), tensor + " has a shape whose size overflows 64 bits");
    }
  }
  return elements;
}

}  // namespace kvasir

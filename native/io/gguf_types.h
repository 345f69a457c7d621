// The tensor types a GGUF file can name, and how many bytes they take. Types that only exist while computing
// (Q8_1, Q8_K) and types that were withdrawn are not here: no file stores them.
#pragma once

#include <cstdint>

namespace kvasir {

struct GgufType {
  uint32_t id;
  const char* name;
  int64_t block_elements;
  int64_t block_bytes;
};

// nullptr for an id that is not known.
const GgufType* FindGgufType(uint32_t id);

}  // namespace kvasir

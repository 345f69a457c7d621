// Stored tensor bytes to float32: plain floats, and the blocks of GGUF (block_types.h), exactly as the format defines them.
// It refuses to quantize, to read files and to put scales that lie beside a tensor to its values (model/scaled_rows.h does).
// Portable C++, in loops that GCC vectorises at -O3.
#pragma once

#include <cstdint>
#include <string>

namespace kvasir {

struct Dequantizer {
  const char* dtype;
  int block_elements;  // values that are stored together; 1 for plain floats
  int block_bytes;
  // blocks [n_blocks, block_bytes] u8, any alignment -> out [n_blocks, block_elements] f32. No overlap.
  void (*convert)(const uint8_t* blocks, int64_t n_blocks, float* out);
};

// nullptr when values of this dtype cannot be read as float32.
const Dequantizer* FindDequantizer(const std::string& dtype);

// "F32, F16, ...": for messages.
std::string ReadableDtypes();

}  // namespace kvasir

// Stored tensor bytes to float32: plain floats and the GGUF blocks Q8_0, Q4_0 and Q4_1, exactly as the format
// defines them (one IEEE multiply, then one add where there is a minimum: never fused). It refuses to
// quantize and to read files. Portable C++, in loops that GCC vectorises at -O3.
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

// A linear's weights as they lie packed in memory and in files (quant/pack.h packs them). Plain structs, without owners.
#pragma once

#include <cstdint>

namespace kvasir {

// kF16 is for the KV cache alone: its values are rounded to binary16, the arithmetic is float32's.
enum class Dtype { kF32, kF16, kInt8 };

// y = x W^T + b, W [n, k]. Memory belongs to whoever asked for the packing.
struct LinearWeight {
  Dtype dtype = Dtype::kF32;
  int64_t n = 0;
  int64_t k = 0;
  void* panels = nullptr;  // [ceil(n / 32)] panels: quant/pack.h, or what a device made of them
  float* bias = nullptr;   // [n padded to 32] or nullptr
  // Equal parts of the n columns that are computed side by side: 2 where they are gate and up.
  int64_t sides = 1;
  // What a step reads after this linear, or nullptr: a hint, so that its first bytes may be fetched meanwhile.
  const LinearWeight* next = nullptr;
};

}  // namespace kvasir

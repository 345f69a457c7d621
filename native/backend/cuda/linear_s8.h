// The INT8 linear's kernels behind the dispatch of linear_s8.cu. All give the same bits: int32 dots of a group are exact,
// whoever sums them, and float(dot) * (scale_x * scale_w) is added by one thread per output with groups ascending. So the
// choice between them is one of speed alone, and tests may make it.
#pragma once

#include "backend/cuda/kernels.h"

namespace kvasir::cuda {

struct LinearS8Args {
  Int8Linear w;
  const int8_t* x;      // [rows, groups * 64]
  const float* scales;  // [rows, groups]
  int64_t rows;
  const float* bias;  // [n padded to 32] or nullptr
  float* out;         // [rows, ld_out]
  int64_t ld_out;
  int64_t n;
  bool accumulate;
};

constexpr int kGemvRows = 4;   // most rows of GemvS8
constexpr int kThinRows = 16;  // rows of a tile of GemmThinS8, those of an mma

// dp4a; 1..kGemvRows rows.
void GemvS8(const LinearS8Args& args, cudaStream_t stream);
// Tensor cores, one panel of columns a block: a few rows, any number is right.
void GemmThinS8(const LinearS8Args& args, cudaStream_t stream);

// Tensor cores, a tile of output rows x columns a block.
enum class GemmTile { k128x64, k64x64, k32x32 };
void GemmS8(GemmTile tile, const LinearS8Args& args, cudaStream_t stream);

}  // namespace kvasir::cuda

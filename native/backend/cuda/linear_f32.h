// The float32 linear: each output sums 128 terms, k ascending by fused adds, and adds them to its total, as the CPU does
// (backend/cpu/ops_linear.h). It is there to compare INT8 with, and refuses TF32 and any other order.
#pragma once

#include <cstdint>

#include "backend/cuda/cuda_platform.h"

namespace kvasir::cuda {

struct LinearF32Args {
  const float* panels;  // [ceil(n / 32)][k][32]
  const float* x;       // [rows, k]
  int64_t rows;
  int64_t k;
  const float* bias;  // [n padded to 32] or nullptr
  float* out;         // [rows, ld_out]
  int64_t ld_out;
  int64_t n;
  bool accumulate;
};

// Any number of rows is right for both; GemvF32 reads the weights once for 8 rows, GemmF32 for 64.
void GemvF32(const LinearF32Args& args, cudaStream_t stream);
void GemmF32(const LinearF32Args& args, cudaStream_t stream);
void LinearF32(const LinearF32Args& args, cudaStream_t stream);

}  // namespace kvasir::cuda

// The time of each kernel of one layer of a model's shape, launched alone and again and again.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "backend/cuda/gpu.h"

namespace kvasir::testing {

struct LayerShape {
  int64_t width = 0, heads = 0, kv_heads = 0, head_dim = 0, feed_forward = 0, vocabulary = 0;
  std::vector<int64_t> batches;  // rows of a decode step
  int64_t prompt = 0;            // rows of a prefill step
  int64_t depth = 0;             // positions in the cache before a decode step
  int64_t cold_bytes = 0;        // weights are taken from as many bytes in turn, so that no cache has them
  int launches = 0;              // of a sample
};

// "1b", "8b" or "tiny". Throws Error(kInvalidOption) for another.
LayerShape LayerShapeOf(const std::string& name);

struct KernelTime {
  std::string name;
  int64_t rows = 0;
  double seconds = 0;      // of one launch
  int64_t bytes = 0;       // of weights or cache that it must read
  int64_t operations = 0;  // INT8 multiplications and additions
};

// Calls `report` after each. Throws what CUDA says.
void TimeKernels(const LayerShape& shape, const cuda::Gpu& gpu,
                 const std::function<void(const KernelTime&)>& report);

}  // namespace kvasir::testing

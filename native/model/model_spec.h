// What the graph needs to know of an architecture: one transformer with parameters. lib/architectures/ fills it in;
// this room never looks at a family's name. Mirrors ModelSpec of lib/native.ts.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "backend/attention.h"
#include "backend/types.h"

namespace kvasir {

struct ModelSpec {
  int64_t vocab_size = 0;
  int64_t hidden_size = 0;
  int64_t n_layers = 0;
  int64_t n_heads = 0;
  int64_t n_kv_heads = 0;
  int64_t head_dim = 0;
  int64_t ffn_size = 0;
  int64_t max_positions = 0;
  NormKind norm = NormKind::kRms;
  float norm_eps = 0;
  ActivationKind activation = ActivationKind::kSilu;
  bool gated = false;
  RopeKind rope = RopeKind::kNone;
  std::vector<float> inverse_frequencies;  // [rope_dim / 2]
  float attention_scale = 0;               // 0: 1 / sqrt(head_dim)

  int64_t padded_head_dim() const { return (head_dim + 15) / 16 * 16; }
  int64_t qkv_size() const { return (n_heads + 2 * n_kv_heads) * head_dim; }
  // Of `pages` pages with the KV of `layers` of the layers.
  KvLayout kv_layout(Dtype dtype, int64_t layers, int64_t pages, int64_t run = 1) const {
    return {dtype, layers, n_kv_heads, head_dim, padded_head_dim(), pages, run};
  }
  // Throws Error(kModelFormat | kUnsupportedArchitecture) for sizes that cannot be.
  void Check() const;
};

// Where one canonical tensor lies in a container; see lib/native.ts.
struct TensorSource {
  std::string name;
  bool transposed = false;
  int64_t row_offset = 0;
};

using TensorMap = std::map<std::string, TensorSource>;

struct LoadOptions {
  Dtype dtype = Dtype::kInt8;
  Dtype kv_dtype = Dtype::kInt8;
  int64_t context_length = 0;  // longest sequence
  int64_t kv_capacity = 0;     // positions of the paged cache over all sequences
  int threads = 0;
  std::string isa;
  int device = -1;                     // CUDA's index of the GPU that runs layers, -1: none does
  int64_t gpu_layers = -1;             // how many, the last ones; -1: as many as its free memory takes
  std::string cuda_library;            // see ForcedCudaLibrary in backend/cuda_library.h
  std::vector<std::string> keep_fp32;  // linears (model/linears.h) that stay float32 where dtype is kInt8

  Dtype DtypeOf(const std::string& linear) const {
    for (const std::string& kept : keep_fp32) {
      if (kept == linear) return Dtype::kF32;
    }
    return dtype;
  }
};

}  // namespace kvasir

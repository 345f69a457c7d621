// How the pool of pages of the KV cache lies in memory. It computes places and sizes only.
#pragma once

#include <cstdint>

#include "quant/linear_weight.h"

namespace kvasir {

constexpr int64_t kKvPagePositions = 64;

// Where a head's part of a page lies in the pool, in bytes.
struct KvPlace {
  int64_t k, v;                // HeadBytes() each
  int64_t k_scales, v_scales;  // HeadScaleBytes() each
};

// How the pool of pages of the KV cache lies in memory. A page holds kKvPagePositions positions of one sequence, all
// layers of a backend. Pages with consecutive numbers form runs of `run`; the last run may be shorter. Per run and layer:
// of each kv head K of the pages, then V; after them (INT8) the scales of K by head and page, then those of V, float32.
// Of a sequence that has a whole run attention reads K and V of a head in one stretch.
struct KvLayout {
  Dtype dtype = Dtype::kF32;
  int64_t n_layers = 0;
  int64_t n_kv_heads = 0;
  int64_t head_dim = 0;
  int64_t padded_head_dim = 0;  // multiple of 16
  int64_t n_pages = 0;
  int64_t run = 1;

  int64_t ValueBytes() const { return dtype == Dtype::kF32 ? 4 : dtype == Dtype::kF16 ? 2 : 1; }
  int64_t HeadBytes() const { return padded_head_dim * kKvPagePositions * ValueBytes(); }
  int64_t HeadScaleBytes() const { return dtype == Dtype::kInt8 ? kKvPagePositions * 4 : 0; }
  int64_t LayerBytes() const { return 2 * n_kv_heads * (HeadBytes() + HeadScaleBytes()); }
  int64_t PageBytes() const { return n_layers * LayerBytes(); }
  int64_t PoolBytes() const { return n_pages * PageBytes(); }
  KvPlace Place(int64_t page, int64_t layer, int64_t head) const {
    const int64_t in_run = page % run, first = page - in_run;
    const int64_t n = n_pages - first < run ? n_pages - first : run;
    const int64_t begin = first * PageBytes() + layer * n * LayerBytes();
    const int64_t k = begin + (2 * head * n + in_run) * HeadBytes();
    const int64_t scales = begin + 2 * n_kv_heads * n * HeadBytes();
    const int64_t k_scales = scales + (head * n + in_run) * HeadScaleBytes();
    return {k, k + n * HeadBytes(), k_scales, k_scales + n_kv_heads * n * HeadScaleBytes()};
  }
};

}  // namespace kvasir

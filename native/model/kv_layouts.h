// Where the keys and values of each layer lie: layers whose heads have one shape share a pool of pages. A page number means
// the same positions of the same sequence in all pools.
#pragma once

#include <vector>

#include "model/model_spec.h"

namespace kvasir {

// A layer's place: in which pool, and which of its layers it is. One with a state has none: -1.
struct KvLayer {
  int64_t pool = 0;
  int64_t index = 0;
};

struct KvLayouts {
  std::vector<KvLayout> pools;
  std::vector<KvLayer> layers;  // [end - first]

  int64_t PageBytes() const;  // of one page number, in all pools
  int64_t Bytes() const;
};

// Of layers [first, end), for `pages` pages that lie side by side in runs of `run`.
KvLayouts KvLayoutsOf(const ModelSpec& spec, Dtype dtype, int64_t first, int64_t end, int64_t pages,
                      int64_t run = 1);

}  // namespace kvasir

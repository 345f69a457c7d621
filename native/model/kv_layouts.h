// Where the keys and values of each layer lie: layers of one page table whose heads have one shape share a pool of pages. A
// page number means the same positions of the same sequence in all pools of a table.
#pragma once

#include <vector>

#include "model/kv_tables.h"
#include "model/model_spec.h"

namespace kvasir {

// A layer's place: in which pool, and which of its layers it is. One with a state has none: -1.
struct KvLayer {
  int64_t pool = 0;
  int64_t index = 0;
};

struct KvLayouts {
  std::vector<KvLayout> pools;
  std::vector<int64_t> tables;  // [pools] whose pages these are
  std::vector<KvLayer> layers;  // [end - first]

  int64_t PageBytes() const;  // of the same positions in all pools
  int64_t Bytes() const;
  // What of Bytes() is there for checkpoints.
  int64_t CheckpointBytes(const KvTables& tables) const;
};

// Layers [first, end) of a model.
struct KvLayers {
  int64_t first = 0;
  int64_t end = 0;
};

// Pages lie side by side in runs of `run`.
KvLayouts KvLayoutsOf(const ModelSpec& spec, Dtype dtype, const KvTables& tables, const KvLayers& layers,
                      int64_t run = 1);

}  // namespace kvasir

#include "model/kv_layouts.h"

namespace kvasir {

int64_t KvLayouts::PageBytes() const {
  int64_t bytes = 0;
  for (const KvLayout& pool : pools) bytes += pool.PageBytes();
  return bytes;
}

int64_t KvLayouts::Bytes() const {
  int64_t bytes = 0;
  for (const KvLayout& pool : pools) bytes += pool.PoolBytes();
  return bytes;
}

int64_t KvLayouts::CheckpointBytes(const KvTables& of) const {
  int64_t bytes = 0;
  for (size_t i = 0; i < pools.size(); ++i) {
    bytes += of.tables[static_cast<size_t>(tables[i])].checkpoint_pages * pools[i].PageBytes();
  }
  return bytes;
}

KvLayouts KvLayoutsOf(const ModelSpec& spec, Dtype dtype, const KvTables& tables, const KvLayers& layers,
                      int64_t run) {
  KvLayouts layouts;
  for (int64_t layer = layers.first; layer < layers.end; ++layer) {
    if (spec.has_state(layer)) {
      layouts.layers.push_back({-1, -1});
      continue;
    }
    const AttentionSpec& a = spec.attention_of(layer);
    const int64_t table = tables.OfLayer(spec, layer);
    size_t pool = 0;
    while (pool < layouts.pools.size() &&
           (layouts.tables[pool] != table || layouts.pools[pool].n_kv_heads != a.n_kv_heads ||
            layouts.pools[pool].head_dim != a.head_dim)) {
      ++pool;
    }
    if (pool == layouts.pools.size()) {
      const int64_t pages = tables.tables[static_cast<size_t>(table)].n_pages;
      layouts.pools.push_back({dtype, 0, a.n_kv_heads, a.head_dim, a.padded_head_dim(), pages, run});
      layouts.tables.push_back(table);
    }
    layouts.layers.push_back({static_cast<int64_t>(pool), layouts.pools[pool].n_layers});
    ++layouts.pools[pool].n_layers;
  }
  return layouts;
}

}  // namespace kvasir

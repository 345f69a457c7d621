#include "model/kv_layouts.h"

#include <algorithm>

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

KvLayouts KvLayoutsOf(const ModelSpec& spec, Dtype dtype, int64_t first, int64_t end, int64_t pages,
                      int64_t run) {
  KvLayouts layouts;
  for (int64_t layer = first; layer < end; ++layer) {
    if (spec.has_state(layer)) {
      layouts.layers.push_back({-1, -1});
      continue;
    }
    const AttentionSpec& a = spec.attention_of(layer);
    auto pool = std::find_if(layouts.pools.begin(), layouts.pools.end(), [&](const KvLayout& one) {
      return one.n_kv_heads == a.n_kv_heads && one.head_dim == a.head_dim;
    });
    if (pool == layouts.pools.end()) {
      layouts.pools.push_back({dtype, 0, a.n_kv_heads, a.head_dim, a.padded_head_dim(), pages, run});
      pool = layouts.pools.end() - 1;
    }
    layouts.layers.push_back({pool - layouts.pools.begin(), pool->n_layers});
    ++pool->n_layers;
  }
  return layouts;
}

}  // namespace kvasir

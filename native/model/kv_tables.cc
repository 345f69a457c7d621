#include "model/kv_tables.h"

#include <algorithm>

#include "model/kv_cache.h"
#include "model/state_layout.h"

namespace kvasir {

namespace {

int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

int64_t PagesOfCheckpoints(int64_t window) {
  const int64_t one = CeilDiv(window - 1, kKvPagePositions);
  return one + (kCheckpoints - 1) * std::min(one, kCheckpointPositions / kKvPagePositions);
}

// Tokens that attend to later ones come in one step, whose pages are held together: their window gives nothing back.
bool Slides(const AttentionSpec& a) { return a.window > 0 && a.causal; }

}  // namespace

int64_t PagesOfWindow(int64_t window, int64_t rows) {
  return CeilDiv(window + rows - 2, kKvPagePositions) + 1;
}

std::vector<int64_t> KvTables::Windows() const {
  std::vector<int64_t> windows;
  for (const KvTable& table : tables) {
    if (table.window > 0) windows.push_back(table.window);
  }
  return windows;
}

KvTables KvTablesOf(const ModelSpec& spec, const LoadOptions& options, int64_t step_rows) {
  const int64_t all = KvCache::PagesFor(options.kv_capacity);
  const int64_t sequences = CeilDiv(options.kv_capacity, options.context_length);
  // A checkpoint of a sequence with a state has a state of its own.
  const int64_t states = StateCountsOf(spec, options).kept;
  const int64_t checkpoints = spec.has_states() && states == 0 ? 0 : sequences * kCheckpoints;
  KvTables plan;
  plan.capacity = all * kKvPagePositions;
  for (const AttentionSpec& a : spec.attentions) {
    KvTable wanted = {.window = 0, .n_pages = all};
    if (Slides(a)) {
      const int64_t kept = checkpoints > 0 ? sequences * PagesOfCheckpoints(a.window) : 0;
      const int64_t pages = sequences * PagesOfWindow(a.window, step_rows) + kept;
      if (pages < all) wanted = {.window = a.window, .n_pages = pages, .checkpoint_pages = kept};
    }
    const auto same = std::find_if(plan.tables.begin(), plan.tables.end(),
                                   [&](const KvTable& one) { return one.window == wanted.window; });
    plan.of_attention.push_back(same - plan.tables.begin());
    if (same == plan.tables.end()) plan.tables.push_back(wanted);
    if (wanted.window > 0) plan.checkpoints = checkpoints;
  }
  if (spec.has_states())
    plan.checkpoints = plan.checkpoints > 0 ? std::min(states, plan.checkpoints) : states;
  // All layers may have states: positions are counted all the same.
  if (plan.tables.empty()) plan.tables.push_back({.window = 0, .n_pages = all});
  return plan;
}

}  // namespace kvasir

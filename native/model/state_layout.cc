#include "model/state_layout.h"

#include <algorithm>

namespace kvasir {

StateLayout StateLayoutOf(const ModelSpec& spec, int64_t slots, int64_t first, int64_t end) {
  StateLayout layout;
  for (int64_t layer = first; layer < end; ++layer) {
    layout.offsets.push_back(layout.slot_size);
    if (spec.has_state(layer)) layout.slot_size += (spec.state_of(layer).state_size() + 15) / 16 * 16;
  }
  layout.slots = layout.slot_size > 0 ? slots : 0;
  return layout;
}

StateCounts StateCountsOf(const ModelSpec& spec, const LoadOptions& options) {
  constexpr int64_t kRunningBytes = int64_t{256} << 20, kLeastRunning = 16, kMostRunning = 128;
  constexpr int64_t kKeptBytes = int64_t{128} << 20, kLeastKept = 8, kMostKept = 64;
  if (!spec.has_states()) return {};
  const int64_t slot = std::max<int64_t>(1, StateLayoutOf(spec, 1, 0, spec.n_layers()).Bytes());
  return {
      options.state_slots > 0 ? options.state_slots
                              : std::clamp(kRunningBytes / slot, kLeastRunning, kMostRunning),
      options.kept_states >= 0 ? options.kept_states : std::clamp(kKeptBytes / slot, kLeastKept, kMostKept)};
}

}  // namespace kvasir

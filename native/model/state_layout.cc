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

int64_t StateSlotsOf(const ModelSpec& spec, const LoadOptions& options) {
  constexpr int64_t kBytes = int64_t{256} << 20, kLeast = 16, kMost = 128;
  if (!spec.has_states()) return 0;
  if (options.state_slots > 0) return options.state_slots;
  const int64_t slot = std::max<int64_t>(1, StateLayoutOf(spec, 1, 0, spec.n_layers()).Bytes());
  return std::clamp(kBytes / slot, kLeast, kMost);
}

}  // namespace kvasir

#include "model/state_slots.h"

#include <string>

#include "core/error.h"

namespace kvasir {

StateSlots::StateSlots(int64_t slots) {
  references_.assign(static_cast<size_t>(slots), 0);
  for (int64_t slot = slots - 1; slot >= 0; --slot) free_.push_back(static_cast<int32_t>(slot));
}

void StateSlots::Release(int32_t slot) {
  if (slot >= 0 && --references_[static_cast<size_t>(slot)] == 0) free_.push_back(slot);
}

void StateSlots::Begin(Held* held) {
  if (count() == 0 || held->next >= 0) return;
  if (free_.empty()) {
    throw Error(ErrorCode::kContextOverflow,
                "All " + std::to_string(count()) +
                    " states are in use; wait for other requests or load the model with more stateSlots");
  }
  held->next = free_.back();
  free_.pop_back();
  references_[static_cast<size_t>(held->next)] = 1;
}

void StateSlots::Keep(Held* held, int64_t length) {
  if (held->next < 0) return;
  Release(held->kept);
  *held = {.kept = held->next, .length = length};
}

void StateSlots::Drop(Held* held) {
  Release(held->next);
  held->next = -1;
  held->written = false;
}

StateSlots::Held StateSlots::Share(const Held& held) {
  if (held.kept >= 0) ++references_[static_cast<size_t>(held.kept)];
  return {.kept = held.kept, .length = held.length};
}

void StateSlots::Clear(Held* held) {
  Drop(held);
  Release(held->kept);
  *held = {};
}

void StateSlots::CheckLength(const Held& held, int64_t length) const {
  if (count() == 0 || length == 0 || length == held.length) return;
  throw Error(ErrorCode::kInternal, "A sequence whose state is that of " + std::to_string(held.length) +
                                        " positions has none of " + std::to_string(length));
}

}  // namespace kvasir

#include "grammar/local_states.h"

namespace kvasir::grammar {

int32_t LocalStates::Intern(Heads heads) {
  if (heads.dead()) return kDead;
  std::vector<Head> key = heads.heads;
  key.push_back({-1, heads.bottom ? 1 : 0});
  const auto [place, is_new] = known_.try_emplace(std::move(key), static_cast<int32_t>(states_.size()));
  if (!is_new) return place->second;
  if (states_.size() >= kMostLocalStates)
    throw LimitError("The grammar has more than 65,536 states within its rules");
  const uint32_t distance = heads.Distance(frames_, stacks_);
  states_.push_back({.distance = distance, .exits = heads.bottom, .goes = !heads.heads.empty()});
  heads_.push_back(std::move(heads));
  next_.resize(next_.size() + classes_, kUnknown);
  return static_cast<int32_t>(states_.size()) - 1;
}

int32_t LocalStates::Raw(int32_t frame) {
  const auto [place, is_new] = raw_.try_emplace(frame, kDead);
  if (is_new && frames_.Moves(frame)) {
    const int32_t made = Intern({{{frame, Stacks::kBottom}}, false});
    raw_[frame] = made;
    return made;
  }
  return place->second;
}

int32_t LocalStates::Closed(int32_t frame) {
  if (const auto known = closed_.find(frame); known != closed_.end()) return known->second;
  const int32_t made = Intern(Close(frames_, stacks_, {{frame, Stacks::kBottom}}));
  closed_[frame] = made;
  return made;
}

int32_t LocalStates::MakeStep(int32_t state, uint8_t byte) {
  const std::vector<Head> heads = At(state).heads;
  const int32_t to = Intern(grammar::Step(frames_, stacks_, heads, byte));
  next_[static_cast<size_t>(state) * classes_ + class_of_[byte]] = to;
  return to;
}

ByteKinds LocalStates::FindAbsorbed(int32_t state) {
  ByteKinds others = 0;
  for (int byte = 0; byte < 256; ++byte) {
    if (Step(state, static_cast<uint8_t>(byte)) != state)
      others |= ByteKinds{1} << KindOf(static_cast<uint8_t>(byte));
  }
  LocalState& found = states_[static_cast<size_t>(state)];
  found.absorbed = ~others;
  found.absorbed_known = true;
  return found.absorbed;
}

}  // namespace kvasir::grammar

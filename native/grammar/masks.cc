#include "grammar/masks.h"

#include <algorithm>

namespace kvasir::grammar {

FrameMask& Masks::Find(int32_t frame) {
  if (bytes_ > kMostMaskBytes) {
    known_.clear();
    bytes_ = 0;
  }
  const auto [place, is_new] = known_.try_emplace(frame);
  if (is_new) {
    Make(frame, place->second);
    bytes_ += place->second.bytes;
  }
  return place->second;
}

const FrameMask& Masks::Of(int32_t frame) { return Find(frame); }

void Masks::Make(int32_t frame, FrameMask& mask) {
  const int32_t start = locals_.Raw(frame);
  if (start == LocalStates::kDead) return;
  // Tokens come with few states in a row.
  int32_t last = LocalStates::kDead;
  Walk(
      start, 0,
      [&](int32_t id, int32_t state) {
        mask.tokens.push_back(id);
        if (state == last) return;
        last = state;
        mask.farthest = std::max(mask.farthest, locals_.Distance(state));
      },
      [&](int32_t node) { mask.exits.push_back(node); });
  if (mask.tokens.size() > trie_.words()) {
    mask.bits.assign(trie_.words(), 0);
    for (const int32_t id : mask.tokens) mask.bits[static_cast<size_t>(id) / 32] |= 1u << (id % 32);
    mask.tokens = {};
  }
  mask.bytes = sizeof(mask) + 4 * (mask.bits.size() + mask.tokens.capacity() + mask.exits.capacity());
}

const FrameMask& Masks::Grouped(int32_t frame) {
  FrameMask& mask = Find(frame);
  if (mask.grouped) return mask;
  mask.grouped = true;
  const int32_t start = locals_.Raw(frame);
  if (start == LocalStates::kDead) return mask;
  std::unordered_map<int32_t, size_t> place;
  size_t tokens = 0, group = 0;
  int32_t last = LocalStates::kDead;
  Walk(
      start, 0,
      [&](int32_t id, int32_t state) {
        if (state != last) {
          group = place.try_emplace(state, mask.groups.size()).first->second;
          if (group == mask.groups.size()) mask.groups.push_back({state, {}});
          last = state;
        }
        mask.groups[group].tokens.push_back(id);
        ++tokens;
      },
      [](int32_t) {});
  bytes_ += 4 * tokens + sizeof(TokenGroup) * mask.groups.size();
  return mask;
}

}  // namespace kvasir::grammar

#include "grammar/masks.h"

#include <algorithm>

#include "grammar/walk.h"

namespace kvasir::grammar {

void Masks::MakeRoom() {
  if (bytes_ <= kMostMaskBytes) return;
  known_.clear();
  groupings_.clear();
  bytes_ = 0;
}

const FrameMask& Masks::Of(int32_t frame) {
  MakeRoom();
  return Find(frame);
}

const FrameMask& Masks::Find(int32_t frame) {
  if (const auto known = known_.find(frame); known != known_.end()) return known->second;
  FrameMask mask;
  const Counted counted = CountedOf(frame);
  if (counted.grouping != nullptr)
    MakeCounted(counted, mask);
  else if (!MakeFromEndless(frame, mask))
    Make(frame, 0, mask);
  Pack(mask);
  mask.bytes = sizeof(mask) + 4 * (mask.bits.size() + mask.tokens.capacity() + mask.exits.capacity());
  bytes_ += mask.bytes;
  return known_.emplace(frame, std::move(mask)).first->second;
}

FrameGroups Masks::Grouped(int32_t frame) {
  MakeRoom();
  const Counted counted = CountedOf(frame);
  if (counted.grouping == nullptr) {
    const Grouping& all = GroupingOf(frame);
    return {all.groups, all.exits, frame};
  }
  const Grouping& grouping = *counted.grouping;
  const auto end = std::partition_point(grouping.groups.begin(), grouping.groups.end(),
                                        [&](const TokenGroup& group) { return group.turns <= counted.most; });
  const auto exits = std::upper_bound(grouping.exit_turns.begin(), grouping.exit_turns.end(), counted.most);
  return {std::span(grouping.groups.begin(), end),
          std::span(grouping.exits).first(static_cast<size_t>(exits - grouping.exit_turns.begin())),
          counted.source};
}

// Frames in a loop that need no further turn and may take a given number of them.
Masks::Counted Masks::CountedOf(int32_t frame) {
  const FrameCount& count = frames_.Count(frame);
  if (count.loop < 0 || count.least > 0 || count.most >= kAnyTurns) return {};
  const uint32_t most = count.most;
  const int32_t source = frames_.WithMost(frame, kAnyTurns);
  auto known = groupings_.find(source);
  if (known == groupings_.end()) {
    known = groupings_.emplace(source, GroupByTurns(frames_, locals_, trie_, source)).first;
    bytes_ += known->second.bytes();
  }
  if (!known->second.counts) return {};
  return {&known->second, most, source};
}

const Grouping& Masks::GroupingOf(int32_t frame) {
  auto known = groupings_.find(frame);
  if (known == groupings_.end()) {
    known = groupings_.emplace(frame, GroupByState(frames_, locals_, trie_, frame)).first;
    bytes_ += known->second.bytes();
  }
  return known->second;
}

void Masks::Make(int32_t frame, uint32_t beyond, FrameMask& mask) {
  mask.source = frame;
  const int32_t start = locals_.Raw(frame);
  if (start == LocalStates::kDead) return;
  // Tokens come with few states in a row.
  int32_t last = LocalStates::kDead;
  Walk(
      locals_, trie_, start, 0, beyond,
      [&](const int32_t* begin, const int32_t* end, int32_t state) {
        mask.tokens.insert(mask.tokens.end(), begin, end);
        if (state == last) return;
        last = state;
        mask.farthest = std::max(mask.farthest, locals_.Distance(state));
      },
      [&](int32_t node) { mask.exits.push_back(node); });
}

bool Masks::MakeFromEndless(int32_t frame, FrameMask& mask) {
  const FrameCount count = frames_.Count(frame);
  if (count.loop < 0 || count.least > 0 || count.most == 0 || count.most >= kAnyTurns) return false;
  const Loop& loop = frames_.automaton().loops[static_cast<size_t>(count.loop)];
  if (loop.body_length == 0) return false;
  // A token of so many bytes ends before the last turn does, or with it.
  const uint32_t bytes = std::min(TimesDistance(count.most, loop.body_length), trie_.longest());
  const FrameMask& endless = Find(frames_.WithMost(frame, kUnbounded));
  Make(frame, bytes, mask);
  mask.farthest = std::max(mask.farthest, endless.farthest);
  mask.bits.assign(trie_.words(), 0);
  if (endless.bits.empty())
    SetBits(mask.bits.data(), endless.tokens);
  else
    mask.bits = endless.bits;
  for (const int32_t id : trie_.LongerThan(bytes))
    mask.bits[static_cast<size_t>(id) / 32] &= ~(1u << (id % 32));
  SetBits(mask.bits.data(), mask.tokens);
  mask.tokens = {};
  for (const int32_t node : endless.exits) {
    if (trie_.Depth(node) <= bytes) mask.exits.push_back(node);
  }
  return true;
}

// Few tokens as a list, many as bits.
void Masks::Pack(FrameMask& mask) {
  if (mask.tokens.size() <= trie_.words()) return;
  mask.bits.assign(trie_.words(), 0);
  SetBits(mask.bits.data(), mask.tokens);
  mask.tokens = {};
}

void Masks::MakeCounted(const Counted& counted, FrameMask& mask) {
  mask.source = counted.source;
  const Grouping& grouping = *counted.grouping;
  const auto fits = [&](const TokenGroup& group) { return group.turns <= counted.most; };
  const auto end = std::partition_point(grouping.groups.begin(), grouping.groups.end(), fits);
  size_t tokens = 0;
  for (auto group = grouping.groups.begin(); group != end; ++group) {
    tokens += group->tokens.size();
    mask.farthest = std::max(mask.farthest, locals_.Distance(group->state));
  }
  if (tokens <= trie_.words()) {
    for (auto group = grouping.groups.begin(); group != end; ++group)
      mask.tokens.insert(mask.tokens.end(), group->tokens.begin(), group->tokens.end());
  } else if (2 * tokens < grouping.tokens) {
    mask.bits.assign(trie_.words(), 0);
    for (auto group = grouping.groups.begin(); group != end; ++group)
      SetBits(mask.bits.data(), group->tokens);
  } else {
    mask.bits = grouping.bits;
    for (auto group = end; group != grouping.groups.end(); ++group) {
      for (const int32_t id : group->tokens) mask.bits[static_cast<size_t>(id) / 32] &= ~(1u << (id % 32));
    }
  }
  const auto exits = std::upper_bound(grouping.exit_turns.begin(), grouping.exit_turns.end(), counted.most);
  mask.exits.assign(grouping.exits.begin(), grouping.exits.begin() + (exits - grouping.exit_turns.begin()));
}

}  // namespace kvasir::grammar

#include "grammar/stacks.h"

#include <algorithm>

namespace kvasir::grammar {

size_t HeadsHash::operator()(const std::vector<Head>& heads) const {
  uint64_t hash = 0x9E3779B97F4A7C15;
  for (const Head& head : heads) {
    hash ^= uint64_t{static_cast<uint32_t>(head.frame)} << 32 | static_cast<uint32_t>(head.stack);
    hash *= 0xFF51AFD7ED558CCD;
    hash ^= hash >> 32;
  }
  return static_cast<size_t>(hash);
}

Stacks::Stacks() : nodes_{{{-1, -1}}}, distances_{0} { known_[nodes_[0]] = kBottom; }

int32_t Stacks::Intern(std::vector<Head> heads, const Frames& frames) {
  const auto [place, is_new] = known_.try_emplace(heads, static_cast<int32_t>(nodes_.size()));
  if (!is_new) return place->second;
  if (nodes_.size() >= kMostStackNodes) throw LimitError("The text is nested too deeply for its grammar");
  uint32_t distance = kFar;
  for (const Head& head : heads) {
    const uint32_t one = head.frame < 0 ? 0 : AddDistance(frames.Distance(head.frame), Distance(head.stack));
    distance = std::min(distance, one);
  }
  nodes_.push_back(std::move(heads));
  distances_.push_back(distance);
  return static_cast<int32_t>(nodes_.size()) - 1;
}

int32_t Stacks::Union(int32_t a, int32_t b, const Frames& frames) {
  if (a == b) return a;
  std::vector<Head> both;
  std::set_union(At(a).begin(), At(a).end(), At(b).begin(), At(b).end(), std::back_inserter(both));
  if (both.size() > kMostConfigs) throw LimitError("The grammar is in too many states at once");
  return Intern(std::move(both), frames);
}

uint32_t Heads::Distance(const Frames& frames, const Stacks& stacks) const {
  uint32_t least = bottom ? 0 : kFar;
  for (const Head& head : heads)
    least = std::min(least, AddDistance(frames.Distance(head.frame), stacks.Distance(head.stack)));
  return least;
}

Heads Close(Frames& frames, Stacks& stacks, std::vector<Head> open) {
  Heads out;
  size_t steps = 0;
  while (!open.empty()) {
    if (++steps > kMostHeadSteps) throw LimitError("The grammar is in too many states at once");
    const Head head = open.back();
    open.pop_back();
    const auto known = std::find_if(out.heads.begin(), out.heads.end(),
                                    [&](const Head& other) { return other.frame == head.frame; });
    int32_t stack = head.stack;
    if (known == out.heads.end()) {
      out.heads.push_back(head);
    } else {
      stack = stacks.Union(known->stack, head.stack, frames);
      if (stack == known->stack) continue;
      known->stack = stack;
    }
    if (frames.Accepts(head.frame)) {
      for (const Head& below : stacks.At(stack)) {
        if (below.frame < 0)
          out.bottom = true;
        else
          open.push_back(below);
      }
    }
    for (const Call& call : frames.Calls(head.frame)) {
      const bool last = frames.OnlyEnds(call.after);  // the call's end is this rule's end
      open.push_back({call.start, last ? stack : stacks.Push(call.after, stack, frames)});
    }
  }
  std::erase_if(out.heads, [&](const Head& head) { return !frames.Moves(head.frame); });
  std::sort(out.heads.begin(), out.heads.end());
  return out;
}

Heads Step(Frames& frames, Stacks& stacks, const std::vector<Head>& heads, uint8_t byte) {
  std::vector<Head> open;
  for (const Head& head : heads) {
    const int32_t to = frames.Step(head.frame, byte);
    if (to >= 0) open.push_back({to, head.stack});
  }
  return open.empty() ? Heads{} : Close(frames, stacks, std::move(open));
}

}  // namespace kvasir::grammar

#include "grammar/completion.h"

#include <algorithm>

namespace kvasir::grammar {

namespace {

// What reads well, of the bytes from low to high that are tokens, if any is.
uint8_t Preferred(const State& state, const ByteTrie& trie) {
  for (const uint8_t byte : {uint8_t{'a'}, uint8_t{'0'}, uint8_t{' '}}) {
    if (state.low <= byte && byte <= state.high && trie.HasByte(byte)) return byte;
  }
  for (int byte = state.low; byte <= state.high; ++byte) {
    if (trie.HasByte(static_cast<uint8_t>(byte))) return static_cast<uint8_t>(byte);
  }
  return state.low;
}

}  // namespace

const Completion::Way& Completion::WayOf(int32_t frame) {
  if (const auto known = ways_.find(frame); known != ways_.end()) return known->second;
  const Automaton& automaton = frames_.automaton();
  const uint32_t distance = frames_.Distance(frame);
  Way way{Way::Kind::kEnd};
  if (!(frames_.Accepts(frame) && distance == 0)) {
    for (const Config& config : std::vector<Config>(frames_.Configs(frame))) {
      const State& state = automaton.states[static_cast<size_t>(config.state)];
      if (automaton.Distance(config) != distance || state.op == Op::kFinal) continue;
      if (state.op == Op::kCall) {
        way = {Way::Kind::kCall, 0, frames_.Start(state.other),
               frames_.FrameOf({{state.next, config.least, config.most}})};
        break;
      }
      const uint8_t byte = Preferred(state, trie_);
      way = {Way::Kind::kByte, byte, frames_.Step(frame, byte)};
      break;
    }
  }
  return ways_.emplace(frame, way).first->second;
}

// Calls wait in a list of their own, not on the C stack.
bool Completion::AppendFrame(int32_t frame, std::string& text) {
  std::vector<int32_t> open{frame};
  size_t steps = 0;
  while (!open.empty()) {
    if (++steps > 4 * kLongestCompletion || text.size() > kLongestCompletion) return false;
    const Way way = WayOf(open.back());
    if (way.kind == Way::Kind::kEnd) {
      open.pop_back();
      continue;
    }
    if (way.to < 0) return false;
    if (way.kind == Way::Kind::kByte) {
      text.push_back(static_cast<char>(way.byte));
      open.back() = way.to;
    } else {
      open.back() = way.after;
      open.push_back(way.to);
    }
  }
  return true;
}

bool Completion::Append(const Heads& heads, const Stacks& stacks, std::string& text) {
  const uint32_t distance = heads.Distance(frames_, stacks);
  if (distance > kLongestCompletion) return false;
  if (heads.bottom) return true;
  for (const Head& head : heads.heads) {
    if (AddDistance(frames_.Distance(head.frame), stacks.Distance(head.stack)) != distance) continue;
    return AppendFrame(head.frame, text) && AppendBelow(head.stack, stacks, text);
  }
  return false;
}

bool Completion::AppendBelow(int32_t node, const Stacks& stacks, std::string& text) {
  if (stacks.Distance(node) > kLongestCompletion) return false;
  while (node != Stacks::kBottom) {
    const uint32_t distance = stacks.Distance(node);
    Head next{-1, Stacks::kBottom};
    for (const Head& below : stacks.At(node)) {
      const uint32_t one =
          below.frame < 0 ? 0 : AddDistance(frames_.Distance(below.frame), stacks.Distance(below.stack));
      if (one != distance) continue;
      next = below;
      break;
    }
    if (next.frame < 0) return true;
    if (!AppendFrame(next.frame, text)) return false;
    node = next.stack;
  }
  return true;
}

bool Completion::Spell(const std::string& text, std::vector<int32_t>& tokens) const {
  const size_t size = text.size();
  std::vector<uint32_t> fewest(size + 1, kFar);  // tokens for text[0, i)
  std::vector<int32_t> last(size + 1, -1);
  std::vector<size_t> from(size + 1, 0);
  fewest[0] = 0;
  for (size_t i = 0; i < size; ++i) {
    if (fewest[i] >= kFar) continue;
    int32_t node = 0;
    for (size_t j = i; j < size; ++j) {
      node = trie_.Child(node, static_cast<uint8_t>(text[j]));
      if (node < 0) break;
      if (trie_.TokensBegin(node) == trie_.TokensEnd(node) || fewest[j + 1] <= fewest[i] + 1) continue;
      fewest[j + 1] = fewest[i] + 1;
      last[j + 1] = *trie_.TokensBegin(node);
      from[j + 1] = i;
    }
  }
  if (fewest[size] >= kFar) return false;
  tokens.clear();
  for (size_t at = size; at > 0; at = from[at]) tokens.push_back(last[at]);
  return true;
}

}  // namespace kvasir::grammar

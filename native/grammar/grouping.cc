#include "grammar/grouping.h"

#include <algorithm>
#include <numeric>
#include <unordered_map>

#include "grammar/walk.h"

namespace kvasir::grammar {

namespace {

// Collects tokens by state and turns.
class Groups {
 public:
  explicit Groups(Grouping& out) : out_(out) {}

  void Add(const int32_t* begin, const int32_t* end, int32_t state, uint32_t turns) {
    if (last_ == kNone || out_.groups[last_].state != state || out_.groups[last_].turns != turns) {
      const uint64_t key = uint64_t{static_cast<uint32_t>(state)} << 32 | turns;
      last_ = place_.try_emplace(key, out_.groups.size()).first->second;
      if (last_ == out_.groups.size()) out_.groups.push_back({state, turns, {}});
    }
    std::vector<int32_t>& tokens = out_.groups[last_].tokens;
    tokens.insert(tokens.end(), begin, end);
    out_.tokens += static_cast<size_t>(end - begin);
  }

 private:
  static constexpr size_t kNone = SIZE_MAX;
  Grouping& out_;
  std::unordered_map<uint64_t, size_t> place_;
  size_t last_ = kNone;
};

// A walk that counts the turns of a loop. It ends where a byte may both belong to a turn and be behind the loop: then what is
// left of a token with too many turns is not known.
class TurnWalk {
 public:
  TurnWalk(Frames& frames, LocalStates& locals, const ByteTrie& trie, Grouping& out)
      : frames_(frames),
        locals_(locals),
        trie_(trie),
        out_(out),
        classes_(static_cast<size_t>(frames.automaton().classes)) {}

  // False: it ended before all was walked.
  bool Run(int32_t frame);

 private:
  static constexpr int32_t kUnknown = -3, kMixed = -2, kOutside = -1;
  enum Taken : uint8_t { kUnasked, kByTurn, kBehind, kByBoth };
  // Turns before the one that a state is in; kOutside: the loop is behind it.
  int32_t TurnOf(int32_t state);
  int32_t FindTurn(const Heads& heads) const;
  Taken TakenBy(int32_t state, uint8_t byte);
  // All bytes at and below a node lead back to the state, in the turn that it is in.
  bool IsAbsorbed(int32_t state, int32_t node);
  static bool IsCounted(const Config& config) {
    return config.most <= kAnyTurns && config.most > kAnyTurns - 2 * kLongestToken;
  }

  Frames& frames_;
  LocalStates& locals_;
  const ByteTrie& trie_;
  Grouping& out_;
  const size_t classes_;
  std::vector<int32_t> turn_of_;  // [local states]
  std::vector<Taken> taken_;      // [local states, classes]
};

int32_t TurnWalk::TurnOf(int32_t state) {
  const auto at = static_cast<size_t>(state);
  if (at >= turn_of_.size()) turn_of_.resize(locals_.size(), kUnknown);
  if (turn_of_[at] == kUnknown) turn_of_[at] = FindTurn(locals_.At(state));
  return turn_of_[at];
}

int32_t TurnWalk::FindTurn(const Heads& heads) const {
  bool some = false;
  for (const Head& head : heads.heads) {
    for (const Config& config : frames_.Configs(head.frame)) some = some || IsCounted(config);
  }
  if (!some) return kOutside;
  const Head& only = heads.heads[0];
  const FrameCount& count = frames_.Count(only.frame);
  const bool plain = heads.heads.size() == 1 && only.stack == Stacks::kBottom && count.loop >= 0;
  if (!plain || frames_.IsCalling(only.frame)) return kMixed;
  return static_cast<int32_t>(kAnyTurns - count.most);
}

TurnWalk::Taken TurnWalk::TakenBy(int32_t state, uint8_t byte) {
  const size_t at = static_cast<size_t>(state) * classes_ + frames_.automaton().class_of[byte];
  if (at >= taken_.size()) taken_.resize(locals_.size() * classes_, kUnasked);
  if (taken_[at] != kUnasked) return taken_[at];
  bool by_turn = false, behind = false;
  for (const Config& config : frames_.Configs(locals_.At(state).heads[0].frame)) {
    const State& taker = frames_.automaton().states[static_cast<size_t>(config.state)];
    if (taker.op != Op::kBytes || byte < taker.low || byte > taker.high) continue;
    (IsCounted(config) ? by_turn : behind) = true;
  }
  taken_[at] = by_turn && behind ? kByBoth : by_turn ? kByTurn : kBehind;
  return taken_[at];
}

bool TurnWalk::IsAbsorbed(int32_t state, int32_t node) {
  if (locals_.Exits(state) || (trie_.Kinds(node) & ~locals_.Absorbed(state)) != 0) return false;
  if (TurnOf(state) < 0) return true;
  for (int byte = 0; byte < 256; ++byte) {
    const bool is_below = (trie_.Kinds(node) >> KindOf(static_cast<uint8_t>(byte)) & 1) != 0;
    if (is_below && TakenBy(state, static_cast<uint8_t>(byte)) != kByTurn) return false;
  }
  return true;
}

bool TurnWalk::Run(int32_t frame) {
  const int32_t start = locals_.Raw(frame);
  if (start == LocalStates::kDead || TurnOf(start) < 0) return false;
  Groups groups(out_);
  std::vector<int32_t> path(size_t{trie_.longest()} + 2);    // [depth] the state there
  std::vector<uint32_t> turns(size_t{trie_.longest()} + 2);  // [depth] that had to be left
  path[0] = start;
  for (int32_t at = 1; at < trie_.size();) {
    const uint32_t depth = trie_.Depth(at);
    const int32_t from = path[depth - 1];
    const int32_t state = locals_.Step(from, trie_.Byte(at));
    const int32_t after = trie_.End(at);
    if (state == LocalStates::kDead) {
      at = after;
      continue;
    }
    turns[depth] = turns[depth - 1];
    if (const int32_t turn = TurnOf(from); turn >= 0) {
      const Taken taken = TakenBy(from, trie_.Byte(at));
      if (taken == kByBoth) return false;
      if (taken == kByTurn) turns[depth] = std::max(turns[depth], static_cast<uint32_t>(turn));
    }
    if (TurnOf(state) == kMixed) return false;
    if (state == from && IsAbsorbed(state, at)) {
      groups.Add(trie_.TokensBegin(at), trie_.TokensEndBelow(at), state, turns[depth]);
      at = after;
      continue;
    }
    if (trie_.TokensBegin(at) != trie_.TokensEnd(at))
      groups.Add(trie_.TokensBegin(at), trie_.TokensEnd(at), state, turns[depth]);
    if (after > at + 1 && locals_.Exits(state)) {
      out_.exits.push_back(at);
      out_.exit_turns.push_back(turns[depth]);
    }
    path[depth] = state;
    at = locals_.Goes(state) ? at + 1 : after;
  }
  return true;
}

void SortByTurns(Grouping& grouping) {
  std::stable_sort(grouping.groups.begin(), grouping.groups.end(),
                   [](const TokenGroup& a, const TokenGroup& b) { return a.turns < b.turns; });
  std::vector<size_t> order(grouping.exits.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return grouping.exit_turns[a] < grouping.exit_turns[b]; });
  Grouping sorted;
  for (const size_t i : order) {
    sorted.exits.push_back(grouping.exits[i]);
    sorted.exit_turns.push_back(grouping.exit_turns[i]);
  }
  grouping.exits = std::move(sorted.exits);
  grouping.exit_turns = std::move(sorted.exit_turns);
}

}  // namespace

size_t Grouping::bytes() const {
  return sizeof(*this) + groups.size() * (sizeof(TokenGroup) + 64) +
         4 * (tokens + exits.size() + exit_turns.size() + bits.size());
}

Grouping GroupByState(Frames& frames, LocalStates& locals, const ByteTrie& trie, int32_t frame) {
  Grouping out;
  const int32_t start = frames.Moves(frame) ? locals.Raw(frame) : LocalStates::kDead;
  if (start == LocalStates::kDead) return out;
  Groups groups(out);
  Walk(
      locals, trie, start, 0, 0,
      [&](const int32_t* begin, const int32_t* end, int32_t state) { groups.Add(begin, end, state, 0); },
      [&](int32_t node) { out.exits.push_back(node); });
  out.exit_turns.assign(out.exits.size(), 0);
  return out;
}

Grouping GroupByTurns(Frames& frames, LocalStates& locals, const ByteTrie& trie, int32_t frame) {
  Grouping out;
  if (!TurnWalk(frames, locals, trie, out).Run(frame)) return {};
  out.counts = true;
  SortByTurns(out);
  out.bits.assign(trie.words(), 0);
  for (const TokenGroup& group : out.groups) SetBits(out.bits.data(), group.tokens);
  return out;
}

}  // namespace kvasir::grammar

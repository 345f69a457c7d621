#include <algorithm>
#include <cstring>

#include "core/error.h"
#include "grammar/grammar.h"
#include "grammar/walk.h"

namespace kvasir::grammar {

namespace {

// Without an instruction for it, which not every processor has: eight words at a time are added up in vectors.
int32_t CountBits(const uint32_t* bits, size_t words) {
  uint32_t all = 0;
  for (size_t i = 0; i < words; ++i) {
    uint32_t word = bits[i];
    word -= word >> 1 & 0x55555555;
    word = (word & 0x33333333) + (word >> 2 & 0x33333333);
    word = (word + (word >> 4)) & 0x0F0F0F0F;
    all += word * 0x01010101 >> 24;
  }
  return static_cast<int32_t>(all);
}

}  // namespace

Matcher::Matcher(std::shared_ptr<Grammar> grammar) : grammar_(std::move(grammar)) {
  Frames& frames = grammar_->frames();
  history_.push_back(Close(frames, stacks_, {{frames.Start(0), Stacks::kBottom}}));
}

MaskOutcome Matcher::Mask(uint32_t* bits, int64_t remaining) {
  MaskOutcome outcome;
  std::memset(bits, 0, words() * sizeof(uint32_t));
  const int64_t after = remaining - 1;
  const bool ample = grammar_->automaton().spelled && MaskFreely(bits, after);
  if (!ample) {
    std::memset(bits, 0, words() * sizeof(uint32_t));
    outcome.narrowed = MaskWithin(bits, after);
  }
  outcome.allowed = CountBits(bits, words());
  return outcome;
}

// Goes on in what follows each rule that ended; each place once. `tokens(begin, end, place)`.
template <typename Tokens>
void Matcher::FollowExits(std::vector<Exit> exits, const Tokens& tokens) {
  LocalStates& locals = grammar_->locals();
  std::unordered_set<uint64_t> seen;
  while (!exits.empty()) {
    const Exit exit = exits.back();
    exits.pop_back();
    const uint64_t key = uint64_t{static_cast<uint32_t>(exit.node)} << 32 | static_cast<uint32_t>(exit.below);
    if (!seen.insert(key).second) continue;
    if (seen.size() > kMostHeadSteps * 8) throw LimitError("The grammar is in too many states at once");
    for (const Head& below : std::vector<Head>(stacks_.At(exit.below))) {
      if (below.frame < 0) continue;
      const int32_t start = locals.Closed(below.frame);
      if (start == LocalStates::kDead) continue;
      if (locals.Exits(start)) exits.push_back({exit.node, below.stack});
      if (!locals.Goes(start)) continue;
      Walk(
          locals, grammar_->trie(), start, exit.node, 0,
          [&](const int32_t* begin, const int32_t* end, int32_t state) {
            tokens(begin, end, Place{state, below.stack});
          },
          [&](int32_t node) {
            exits.push_back({node, below.stack});
          });
    }
  }
}

// Of tokens that go on behind the rule that a frame is in. In the body of a string they are thousands, and the same at each
// token: they are kept.
const Matcher::TokensBehind& Matcher::Behind(int32_t source, int32_t stack, std::span<const int32_t> nodes) {
  if (behind_.size() >= kMostBehind) behind_.clear();
  const std::array<int32_t, 3> key{source, stack, static_cast<int32_t>(nodes.size())};
  if (const auto known = behind_.find(key); known != behind_.end()) return known->second;
  TokensBehind found;
  std::vector<Exit> exits;
  exits.reserve(nodes.size());
  for (const int32_t node : nodes) exits.push_back({node, stack});
  std::unordered_map<uint64_t, size_t> groups;
  FollowExits(std::move(exits), [&](const int32_t* begin, const int32_t* end, const Place& to) {
    const size_t group = groups.try_emplace(to.key(), found.groups.size()).first->second;
    if (group == found.groups.size()) {
      found.groups.push_back({to, {}});
      const uint32_t distance =
          AddDistance(grammar_->locals().Distance(to.state), stacks_.Distance(to.below));
      found.farthest = std::max(found.farthest, distance);
    }
    std::vector<int32_t>& tokens = found.groups[group].tokens;
    tokens.insert(tokens.end(), begin, end);
  });
  return behind_.emplace(key, std::move(found)).first->second;
}

// All that the grammar allows. False: after some of it the end may be more than `bytes` away.
bool Matcher::MaskFreely(uint32_t* bits, int64_t bytes) {
  Frames& frames = grammar_->frames();
  for (const Head& head : now().heads) {
    const int32_t within = frames.Within(head.frame, grammar_->trie().longest());
    const FrameMask& mask = grammar_->masks().Of(within);
    // What was cut from its counts is as far as it was.
    const uint32_t cut =
        frames.Distance(head.frame) - std::min(frames.Distance(head.frame), frames.Distance(within));
    const uint32_t farthest = AddDistance(AddDistance(mask.farthest, cut), stacks_.Distance(head.stack));
    if (farthest > bytes) return false;
    for (size_t i = 0; i < mask.bits.size(); ++i) bits[i] |= mask.bits[i];
    SetBits(bits, mask.tokens);
    // Below the bottom nothing follows.
    if (mask.exits.empty() || head.stack == Stacks::kBottom) continue;
    const TokensBehind& behind = Behind(mask.source, head.stack, mask.exits);
    if (behind.farthest > bytes) return false;
    for (const PlacedTokens& group : behind.groups) SetBits(bits, group.tokens);
  }
  return true;
}

// What leaves a way to the end of at most `tokens` tokens. True: something was left out.
bool Matcher::MaskWithin(uint32_t* bits, int64_t tokens) {
  bool narrowed = false;
  const auto take = [&](const Place& place, const std::vector<int32_t>& ids) {
    if (Fits(place, tokens))
      SetBits(bits, ids);
    else
      narrowed = true;
  };
  for (const Head& head : now().heads) {
    const FrameGroups mask = grammar_->masks().Grouped(head.frame);
    for (const TokenGroup& group : mask.groups) take({group.state, head.stack}, group.tokens);
    if (mask.exits.empty() || head.stack == Stacks::kBottom) continue;
    for (const PlacedTokens& group : Behind(mask.source, head.stack, mask.exits).groups)
      take(group.place, group.tokens);
  }
  // The way that was found before holds whatever the shortest texts of other places look like.
  if (!planned_) planned_ = Shortest(plan_);
  if (planned_ && !plan_.empty() && static_cast<int64_t>(plan_.size()) <= tokens + 1)
    bits[static_cast<size_t>(plan_.back()) / 32] |= 1u << (plan_.back() % 32);
  return narrowed;
}

bool Matcher::Fits(const Place& place, int64_t tokens) {
  const uint32_t bytes = AddDistance(grammar_->locals().Distance(place.state), stacks_.Distance(place.below));
  if (grammar_->automaton().spelled && bytes <= tokens) return true;
  if (bytes > tokens * grammar_->trie().longest()) return false;
  if (ways_.size() >= kMostWays) ways_.clear();
  const auto known = ways_.find(place.key());
  if (known != ways_.end()) return known->second <= tokens;
  std::vector<int32_t> way;
  const int64_t length = ShortestFrom(place, way) ? static_cast<int64_t>(way.size()) : INT64_MAX;
  ways_.emplace(place.key(), length);
  return length <= tokens;
}

bool Matcher::ShortestFrom(const Place& place, std::vector<int32_t>& tokens) {
  Completion& completion = grammar_->completion();
  LocalStates& locals = grammar_->locals();
  std::string text;
  if (!completion.Append(Heads(locals.At(place.state)), locals.stacks(), text)) return false;
  return completion.AppendBelow(place.below, stacks_, text) && completion.Spell(text, tokens);
}

bool Matcher::Shortest(std::vector<int32_t>& tokens) {
  std::string text;
  return grammar_->completion().Append(now(), stacks_, text) && grammar_->completion().Spell(text, tokens);
}

// Where a token leads, as the mask saw it.
void Matcher::PlacesAfter(int32_t token, std::vector<Place>& places) {
  const std::vector<uint8_t> bytes = grammar_->trie().BytesOf(token);
  LocalStates& locals = grammar_->locals();
  struct From {
    size_t at;
    int32_t state, below;
  };
  std::vector<From> open;
  std::unordered_set<uint64_t> seen;
  const auto leave = [&](size_t at, int32_t below) {
    std::vector<std::pair<size_t, int32_t>> ended{{at, below}};
    while (!ended.empty()) {
      const auto [place, node] = ended.back();
      ended.pop_back();
      if (!seen.insert(uint64_t{place} << 32 | static_cast<uint32_t>(node)).second) continue;
      for (const Head& head : std::vector<Head>(stacks_.At(node))) {
        const int32_t start = head.frame < 0 ? LocalStates::kDead : locals.Closed(head.frame);
        if (start == LocalStates::kDead) continue;
        if (locals.Exits(start)) ended.emplace_back(place, head.stack);
        open.push_back({place, start, head.stack});
      }
    }
  };
  for (const Head& head : now().heads) open.push_back({0, locals.Raw(head.frame), head.stack});
  while (!open.empty()) {
    From from = open.back();
    open.pop_back();
    while (from.state != LocalStates::kDead && from.at < bytes.size()) {
      from.state = locals.Step(from.state, bytes[from.at++]);
      if (from.state == LocalStates::kDead || from.at == bytes.size()) break;
      if (locals.Exits(from.state)) leave(from.at, from.below);
    }
    if (from.state != LocalStates::kDead) places.push_back({from.state, from.below});
  }
}

bool Matcher::Accept(int32_t token) {
  Frames& frames = grammar_->frames();
  const std::vector<uint8_t> bytes = grammar_->trie().BytesOf(token);
  if (bytes.empty()) return false;
  Heads heads = now();
  for (const uint8_t byte : bytes) {
    heads = Step(frames, stacks_, heads.heads, byte);
    if (heads.dead()) return false;
  }
  if (planned_ && !plan_.empty() && plan_.back() == token) {
    plan_.pop_back();
  } else if (planned_) {
    std::vector<Place> places;
    PlacesAfter(token, places);
    planned_ = false;
    for (const Place& place : places) {
      std::vector<int32_t> way;
      if (!ShortestFrom(place, way) || (planned_ && way.size() >= plan_.size())) continue;
      planned_ = true;
      plan_ = std::move(way);
    }
  }
  history_.push_back(std::move(heads));
  return true;
}

void Matcher::Rollback(size_t count) {
  if (count >= history_.size())
    throw Error(ErrorCode::kInvalidOption, "More tokens are taken back than were accepted");
  history_.resize(history_.size() - count);
  planned_ = false;
}

// The only byte that may follow. -1: the text may end here, or several may.
int Matcher::OnlyByte(const Heads& heads) {
  if (heads.bottom) return -1;
  Frames& frames = grammar_->frames();
  const Automaton& automaton = grammar_->automaton();
  int only = -1;
  for (const Head& head : heads.heads) {
    for (int i = 0; i < automaton.classes; ++i) {
      const uint8_t byte = automaton.byte_of_class[static_cast<size_t>(i)];
      if (frames.Step(head.frame, byte) < 0 || byte == only) continue;
      const int end = i + 1 < automaton.classes ? automaton.byte_of_class[static_cast<size_t>(i) + 1] : 256;
      if (only >= 0 || end - byte > 1) return -1;
      only = byte;
    }
  }
  return only;
}

std::string Matcher::Forced(size_t most) {
  std::string forced;
  Heads heads = now();
  while (forced.size() < most) {
    const int only = OnlyByte(heads);
    if (only < 0) break;
    forced.push_back(static_cast<char>(only));
    heads = Step(grammar_->frames(), stacks_, heads.heads, static_cast<uint8_t>(only));
  }
  return forced;
}

std::vector<int32_t> Matcher::ForcedTokens(size_t most) {
  std::vector<int32_t> tokens;
  const std::string forced = Forced(most);
  if (forced.empty() || !grammar_->completion().Spell(forced, tokens)) tokens.clear();
  return tokens;
}

}  // namespace kvasir::grammar

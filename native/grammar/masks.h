// Which tokens may follow. What a frame allows by itself is walked once and kept, whatever surrounds it; only where a token
// goes beyond the frame's rule is what follows it asked.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <unordered_map>
#include <vector>

#include "grammar/byte_trie.h"
#include "grammar/local_states.h"

namespace kvasir::grammar {

// What tokens lead to from one frame: a local state and the tokens that end in it.
struct TokenGroup {
  int32_t state;
  std::vector<int32_t> tokens;
};

struct FrameMask {
  std::vector<uint32_t> bits;      // [words], or empty where `tokens` is shorter
  std::vector<int32_t> tokens;     // of a sparse mask
  std::vector<int32_t> exits;      // nodes of the trie with children, at which the rule may have ended
  uint32_t farthest = 0;           // the largest distance, in bytes, to the end of the rule after a token
  std::vector<TokenGroup> groups;  // made when they are asked for
  bool grouped = false;
  size_t bytes = 0;
};

class Masks {
 public:
  Masks(Frames& frames, LocalStates& locals, const ByteTrie& trie)
      : frames_(frames), locals_(locals), trie_(trie) {}

  // Kept until the next call of either.
  const FrameMask& Of(int32_t frame);
  const FrameMask& Grouped(int32_t frame);

  // From `start` at `node` of the trie through its subtree: `token(id, state)` for each token, `leave(node)` where the rule
  // may have ended and the trie goes on.
  template <typename Token, typename Exit>
  void Walk(int32_t start, int32_t node, const Token& token, const Exit& leave);

 private:
  FrameMask& Find(int32_t frame);
  void Make(int32_t frame, FrameMask& mask);

  Frames& frames_;
  LocalStates& locals_;
  const ByteTrie& trie_;
  std::unordered_map<int32_t, FrameMask> known_;
  size_t bytes_ = 0;
  std::vector<int32_t> path_;  // [depth] the state there
};

template <typename Token, typename Exit>
void Masks::Walk(int32_t start, int32_t node, const Token& token, const Exit& leave) {
  const uint32_t base = trie_.Depth(node);
  path_.resize(size_t{trie_.longest()} + 2);
  path_[0] = start;
  const int32_t end = trie_.End(node);
  for (int32_t at = node + 1; at < end;) {
    const uint32_t depth = trie_.Depth(at) - base;
    const int32_t state = locals_.Step(path_[depth - 1], trie_.Byte(at));
    const int32_t after = trie_.End(at);
    if (state == LocalStates::kDead) {
      at = after;
      continue;
    }
    for (const int32_t* id = trie_.TokensBegin(at); id != trie_.TokensEnd(at); ++id) token(*id, state);
    if (after > at + 1 && locals_.Exits(state)) leave(at);
    path_[depth] = state;
    at = locals_.Goes(state) ? at + 1 : after;
  }
}

}  // namespace kvasir::grammar

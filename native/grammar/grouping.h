// The tokens that may follow a frame, by where they lead; in a counted loop also by how many of its turns they take, so that
// one walk serves whatever number of turns is left.
#pragma once

#include <cstdint>
#include <vector>

#include "grammar/byte_trie.h"
#include "grammar/local_states.h"

namespace kvasir::grammar {

// Turns of a frame that stands for all numbers of turns: more than any loop has.
constexpr uint32_t kAnyTurns = 0xC0000000;

struct TokenGroup {
  int32_t state;   // local
  uint32_t turns;  // of the frame's loop that have to be left
  std::vector<int32_t> tokens;
};

struct Grouping {
  std::vector<TokenGroup> groups;  // by turns, the fewest first
  std::vector<int32_t> exits;  // nodes of the trie with children, at which the rule may have ended; by turns
  std::vector<uint32_t> exit_turns;  // [exits]
  std::vector<uint32_t> bits;        // [words] all tokens
  size_t tokens = 0;
  bool counts = false;  // turns are told: the frame's loop is left or turned by each byte, never perhaps
  size_t bytes() const;
};

// Of a frame as it is: no turns.
Grouping GroupByState(Frames& frames, LocalStates& locals, const ByteTrie& trie, int32_t frame);
// Of a frame with kAnyTurns. Where `counts` is false there is nothing else.
Grouping GroupByTurns(Frames& frames, LocalStates& locals, const ByteTrie& trie, int32_t frame);

}  // namespace kvasir::grammar

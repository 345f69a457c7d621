// A walk over the vocabulary's tree of bytes from a state: which tokens may follow it, and where they lead.
#pragma once

#include <cstdint>
#include <vector>

#include "grammar/byte_trie.h"
#include "grammar/local_states.h"

namespace kvasir::grammar {

// From `start` at `node` of the trie through its subtree: `tokens(begin, end, state)` for tokens that lead to one state,
// `leave(node)` where the rule may have ended and the trie goes on.
// What ends within `beyond` bytes from the root of the trie is left out.
template <typename Tokens, typename Exit>
void Walk(LocalStates& locals, const ByteTrie& trie, int32_t start, int32_t node, uint32_t beyond,
          const Tokens& tokens, const Exit& leave) {
  const uint32_t base = trie.Depth(node);
  std::vector<int32_t> path(size_t{trie.longest()} + 2 - base);  // [depth] the state there
  path[0] = start;
  const int32_t end = trie.End(node);
  for (int32_t at = node + 1; at < end;) {
    if (trie.Deepest(at) <= beyond) {
      at = trie.End(at);
      continue;
    }
    const uint32_t depth = trie.Depth(at) - base;
    const int32_t state = locals.Step(path[depth - 1], trie.Byte(at));
    const int32_t after = trie.End(at);
    if (state == LocalStates::kDead) {
      at = after;
      continue;
    }
    const int32_t* begin = trie.TokensBegin(at);
    // All bytes below lead back to the same state.
    const bool counts = depth + base > beyond;
    if (state == path[depth - 1] && counts && after > at + 1 && !locals.Exits(state) &&
        (trie.Kinds(at) & ~locals.Absorbed(state)) == 0) {
      tokens(begin, trie.TokensEndBelow(at), state);
      at = after;
      continue;
    }
    if (counts && begin != trie.TokensEnd(at)) tokens(begin, trie.TokensEnd(at), state);
    if (counts && after > at + 1 && locals.Exits(state)) leave(at);
    path[depth] = state;
    at = locals.Goes(state) ? at + 1 : after;
  }
}

}  // namespace kvasir::grammar
